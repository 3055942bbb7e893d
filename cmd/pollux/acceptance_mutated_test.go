package main_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"pollux/device"
	"pollux/poller"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
)

const (
	mutatedReplies = 100_000 // in "make test"; the fault tests take ten times as many
	mutatedPollers = 48      // at a time: a damaged reply is waited for in vain
	mutatedTimeout = 10 * time.Millisecond
)

func TestMutatedReplies(t *testing.T) {
	t.Parallel()
	pollMutated(t, mutatedReplies, 1)
}

// pollMutated polls devices whose replies are damaged, in all versions, until a
// number of damaged replies was sent. A panic anywhere ends the test's process or is found in a reason.
func pollMutated(t *testing.T, replies, seed uint64) {
	t.Helper()
	agent, err := simulator.New(simulator.Config{
		Listen: "127.0.0.1:0", Ports: 12, Hostile: []string{simulator.Mutate}, HostileSeed: seed, V3: &simulator.User{
			Name: "monitor", AuthProtocol: "SHA", AuthPassword: secret.New("first password"), PrivProtocol: "AES", PrivPassword: secret.New("second password"),
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	<-agent.Ready()
	all := map[snmp.Version]map[device.Outcome]int{}
	var mu sync.Mutex
	var pollers sync.WaitGroup
	keys := snmp.NewKeyCache()
	begun := time.Now()
	for n := range mutatedPollers {
		pollers.Go(func() {
			version := []snmp.Version{snmp.V1, snmp.V2c, snmp.V3}[n%3]
			found := map[device.Outcome]int{}
			for agent.Stats().Damaged < replies && !t.Failed() {
				found[pollOnce(t, agent, version, keys)]++
			}
			mu.Lock()
			defer mu.Unlock()
			if all[version] == nil {
				all[version] = map[device.Outcome]int{}
			}
			for outcome, count := range found {
				all[version][outcome] += count
			}
		})
	}
	pollers.Wait()
	t.Logf("figures: %d damaged replies in %v: %v", agent.Stats().Damaged, time.Since(begun).Round(time.Millisecond), all)
	for version, found := range all {
		if found[device.OutcomePartial] == 0 {
			t.Errorf("%s: no poll came to its modules: %v", version, found)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// pollOnce polls the device of an agent and looks at what is said of it.
func pollOnce(t *testing.T, agent *simulator.Agent, version snmp.Version, keys *snmp.KeyCache) device.Outcome {
	credentials := snmp.Credentials{Version: version, Community: secret.New("public")}
	if version == snmp.V3 {
		credentials = snmp.Credentials{
			Version: version, User: "monitor", AuthProtocol: "SHA", AuthPassword: secret.New("first password"),
			PrivProtocol: "AES", PrivPassword: secret.New("second password"),
		}
	}
	session, err := snmp.Dial(t.Context(), snmp.Target{
		Host: "127.0.0.1", Port: agent.Addr(0).Port(), Timeout: mutatedTimeout, Retries: 1, Credentials: credentials, Keys: keys,
	}, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer session.Close()
	r := poller.Poll(t.Context(), session, poller.Target{Timeout: mutatedTimeout, Retries: 1})
	if reason := r.Poll.Reason; len(reason) > 200 || !utf8.ValidString(reason) || strings.Contains(reason, "panic") || strings.Contains(reason, "goroutine") {
		t.Errorf("reason of %d bytes: %q", len(reason), reason)
	}
	return r.Poll.Outcome
}
