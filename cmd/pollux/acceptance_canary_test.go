package main_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/config"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

// canaries are the secrets of a test: no output may hold one. Each has characters that most forms write otherwise.
var canaries = map[string]string{
	"community": "Canary/community+7%one", "wrong community": "Canary/community+7%two", "auth password": "Canary+auth/password&1", "privacy password": "Canary+priv/password&1",
	"wrong auth password": "Canary+auth/password&2", "wrong privacy password": "Canary+priv/password&2",
	"Redis password": "Canary=redis/password+1", "wrong Redis password": "Canary=redis/password+2", "wrong database password": "Canary/database+password",
}

// aviary is a deployment full of canaries.
type aviary struct {
	*deployment
	finder *finder
	port   uint16 // of the SNMP agent
	said   sweep  // by commands
}

func newAviary(t *testing.T) *aviary {
	t.Helper()
	redis := polluxtest.Redis(t, "--requirepass", canaries["Redis password"])
	database := polluxtest.PostgreSQL(t)
	login := redisAt(t, redis)
	login.Password = secret.New(canaries["Redis password"])
	a := &aviary{deployment: deployAt(t, database, login, "POLLUX_LOG_LEVEL=debug"), said: sweep{}}
	a.redis = redis
	former, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	a.env = append(a.env, "APP_PREVIOUS_KEYS="+former.Reveal())
	secrets := map[string]string{"database password": database.Password.Reveal()}
	for name, text := range canaries {
		secrets[name] = text
	}
	for name, text := range map[string]string{"APP_KEY": a.key.Text().Reveal(), "APP_PREVIOUS_KEYS": former.Reveal()} {
		encoded := strings.TrimPrefix(text, "base64:")
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		secrets[name], secrets[name+" as bytes"] = strings.TrimRight(encoded, "="), string(raw)
	}
	a.finder = newFinder(secrets)
	a.port = a.agent()
	return a
}

// agent answers SNMP inside this process, so that its passwords stand on no command line.
func (a *aviary) agent() uint16 {
	a.t.Helper()
	agent, err := simulator.New(simulator.Config{
		Listen: "127.67.0.0/24:0", Devices: 9, Ports: 3, Community: secret.New(canaries["community"]), V3: &simulator.User{
			Name: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New(canaries["auth password"]), PrivProtocol: "AES", PrivPassword: secret.New(canaries["privacy password"]),
		},
	}, quiet())
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	a.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			a.t.Errorf("simulator: %v", err)
		}
	})
	select {
	case <-agent.Ready():
	case <-time.After(startLimit):
		a.t.Fatal("the simulator does not start")
	}
	return agent.Addr(0).Port()
}

// add stores a device without asking it, with the names of its canaries.
func (a *aviary) add(hostname string, port uint16, transport string, version snmp.Version, names ...string) {
	a.t.Helper()
	c := snmp.Credentials{Version: version, Community: secret.New(canaries[names[0]])}
	if version == snmp.V3 {
		c = snmp.Credentials{
			Version: version, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New(canaries[names[0]]), PrivProtocol: "AES", PrivPassword: secret.New(canaries[names[1]]),
		}
	}
	_, err := a.store.AddDevice(a.t.Context(), device.Device{
		Hostname: hostname, Address: "127.67.0.1", Port: port, Transport: transport, Interval: 10, Timeout: time.Second, Retries: 0, Credentials: c,
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

// populate adds devices that answer, that refuse, that are silent, and one whose row is damaged.
func (a *aviary) populate() {
	a.t.Helper()
	closed := uint16(polluxtest.FreePort(a.t))
	a.add("good-1", a.port, "udp", snmp.V1, "community")
	a.add("good-2", a.port, "udp", snmp.V2c, "community")
	a.add("good-3", a.port, "udp", snmp.V3, "auth password", "privacy password")
	a.add("refused-auth", a.port, "udp", snmp.V3, "wrong auth password", "privacy password")
	a.add("refused-priv", a.port, "udp", snmp.V3, "auth password", "wrong privacy password")
	a.add("silent", a.port, "udp", snmp.V2c, "wrong community")
	a.add("closed", closed, "udp", snmp.V3, "auth password", "privacy password")
	a.add("closed-tcp", closed, "tcp", snmp.V2c, "community")
	a.add("damaged", a.port, "udp", snmp.V3, "auth password", "privacy password")
	if _, err := openSQL(a.t, a.where).Exec("UPDATE devices SET auth_password = priv_password WHERE hostname = 'damaged'"); err != nil {
		a.t.Fatal(err)
	}
}

// polled waits until each device has the status that its canary leads to, and a poll of the damaged one has failed.
func (a *aviary) polled(consumer *process) {
	a.t.Helper()
	want := map[string]device.Status{
		"good-1": device.StatusUp, "good-2": device.StatusUp, "good-3": device.StatusUp, "refused-auth": device.StatusAuth,
		"silent": device.StatusDown, "closed": device.StatusDown, "closed-tcp": device.StatusDown, "damaged": device.StatusNew,
	}
	untilEvery(a.t, time.Second, 2*time.Minute, "every device was polled", func() bool {
		all, err := a.store.Devices(a.t.Context(), store.Filter{})
		if err != nil {
			a.t.Fatal(err)
		}
		for _, d := range all {
			if status, known := want[d.Hostname]; known && d.Status != status || d.Hostname != "damaged" && d.PolledAt.IsZero() {
				return false
			}
		}
		text, err := os.ReadFile(consumer.log)
		return err == nil && bytes.Contains(text, []byte("does not open"))
	})
}

// say runs a command and keeps what it printed, whatever its exit code. in is its input.
func (a *aviary) say(code int, in string, environ []string, args ...string) {
	a.t.Helper()
	c := command(a.t, a.dir, append(slices.Clone(a.env), environ...), args...)
	c.Stdin = strings.NewReader(in)
	text, _ := c.CombinedOutput() // the exit code says more
	if got := c.ProcessState.ExitCode(); got != code {
		a.t.Errorf("pollux %q: exit code %d, want %d: %.500s", args, got, code, text)
	}
	a.said[fmt.Sprintf("pollux %q %d", args, len(a.said))] = text
}

// talk runs commands that deal with secrets, many of which fail.
func (a *aviary) talk() {
	a.t.Helper()
	port, long := strconv.Itoa(int(a.port)), strings.Repeat(canaries["community"], 10)
	given := []string{"C=" + canaries["community"], "W=" + canaries["wrong community"], "A=" + canaries["auth password"], "X=" + canaries["privacy password"], "V=" + canaries["wrong auth password"], "L=" + long}
	at := func(number string, words ...string) []string { // an agent that no device asks yet
		return append(words, "--address", "127.67.0."+number, "-r", port)
	}
	for _, args := range [][]string{
		{"device", "list"}, {"device", "list", "--json"}, {"device", "show", "good-3"}, {"device", "show", "good-3", "--json"}, {"device", "show", "damaged", "--json"},
		{"config", "list"}, {"config", "list", "--json"}, {"migrate", "status", "--json"}, {"key", "rotate", "--help"}, {"version", "--json"},
		{"device", "poll", "good-2", "-v"}, {"device", "poll", "good-3", "--json"}, {"inspect", "127.67.0.1:" + port, "-2", "-c", "env:C"},
		{"inspect", "127.67.0.1:" + port, "-u", "monitor", "-A", "env:A", "-X", "env:X", "--json"},
		at("2", "device", "add", "by-variable", "-3", "-u", "monitor", "-A", "env:A", "-X", "env:X", "--json"),
		{"credential", "add", "by-variable", "-3", "-u", "monitor", "-A", "env:A", "-X", "env:X", "--json"}, {"credential", "set", "by-variable", "-A", "env:A"},
		{"credential", "list"}, {"credential", "list", "--json"}, {"credential", "show", "by-variable"}, at("5", "device", "add", "by-set", "--credential", "by-variable", "--json"),
		{"device", "set", "by-variable", "-c", "env:C", "--disable"},
	} {
		a.say(0, "", given, args...)
	}
	a.say(0, canaries["auth password"]+"\n"+canaries["privacy password"]+"\n", nil, at("3", "device", "add", "by-input", "-3", "-u", "monitor", "-A", "-", "-X", "-")...)
	a.say(1, "hostname,address,port,version,community,user,auth_password\nof-a-line,127.67.0.6,"+port+",v2c,"+canaries["community"]+",,\nrefused-line,127.67.0.7,"+port+",v3,,monitor,"+canaries["wrong auth password"]+"\n",
		nil, "device", "add", "--csv", "-")
	a.say(0, "", []string{"NODE_ID=x"}, "doctor")
	a.say(0, "", []string{"NODE_ID=x"}, "doctor", "--json")
	for _, bad := range []struct {
		code int
		args []string
	}{
		{4, []string{"device", "poll", "damaged"}}, {4, []string{"device", "poll", "refused-auth", "-v"}}, {5, []string{"device", "poll", "closed"}},
		{5, []string{"device", "poll", "silent", "--json"}}, {5, []string{"inspect", "127.67.0.1:" + port, "-2", "-c", "env:W", "--timeout", "100ms", "--retries", "0"}},
		{4, []string{"inspect", "127.67.0.1:" + port, "-u", "monitor", "-A", "env:V", "-X", "env:X", "--timeout", "1s"}},
		{2, []string{"inspect", "127.67.0.1:" + port, "-2", "-c", "env:L"}}, {2, []string{"device", "set", "good-2", "-c", "env:L"}},
		{2, []string{"device", "set", "good-2", "-2", "-A", "env:A"}}, {1, at("4", "device", "add", "good-2", "-2", "-c", "env:C")},
		{4, at("4", "device", "add", "refused", "-3", "-u", "monitor", "-A", "env:V", "-X", "env:X")}, {1, at("1", "device", "add", "twin", "-2", "-c", "env:C")}, {4, []string{"device", "set", "damaged", "--interval", "20"}},
	} {
		a.say(bad.code, "", given, bad.args...)
	}
	for _, env := range []struct {
		code     int
		variable string
	}{
		{4, "REDIS_PASSWORD=" + canaries["wrong Redis password"]}, {4, "DB_PASSWORD=" + canaries["wrong database password"]}, {2, "APP_KEY=" + canaries["community"]},
		{2, "APP_KEY=base64:" + base64.StdEncoding.EncodeToString([]byte(canaries["community"]))}, {2, "APP_PREVIOUS_KEYS=" + canaries["community"]},
	} {
		a.say(env.code, "", []string{env.variable}, "device", "poll", "good-2")
		a.say(env.code, "", []string{env.variable, "NODE_ID=x"}, "consumer")
	}
}

// sweep gathers all that anybody but the database's owner may see.
func (a *aviary) sweep(nodes ...*process) sweep {
	a.t.Helper()
	all := sweep{}
	add(all, a.said, databaseDump(a.t, openSQL(a.t, a.where), "current_schema()"),
		redisDump(a.t, openRedis(a.t, config.Redis{Socket: a.redis.Socket, Password: secret.New(canaries["Redis password"])})),
		files(a.t, filepath.Join(a.dir, "*.log"), filepath.Join(a.redis.Dir, "appendonlydir", "*"), a.redis.Log, a.rrd.Log))
	for _, p := range nodes {
		add(all, p.pages("/metrics", "/healthz", "/readyz", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2"),
			files(a.t, fmt.Sprintf("/proc/%d/cmdline", p.command.Process.Pid), fmt.Sprintf("/proc/%d/comm", p.command.Process.Pid)))
	}
	pages, tasks := nodes[0].queuePages()
	if add(all, pages); tasks == 0 {
		a.t.Error("asynqmon shows no task")
	}
	return all
}

// TestSecretsStayInside runs a cluster whose every secret is a canary, in the
// log's finest level, lets polls and commands fail, and looks for the canaries in everything that comes out.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	a := newAviary(t)
	a.populate()
	producer, consumer := a.run("producer", "p1"), a.run("consumer", "c1")
	a.polled(consumer)
	a.talk()
	all := a.sweep(producer, consumer)
	size := 0
	for _, text := range all {
		size += len(text)
	}
	t.Logf("%d texts with %d bytes", len(all), size)
	if leaks := a.finder.leaks(all); len(leaks) > 0 {
		t.Errorf("%d secrets show:\n%s", len(leaks), strings.Join(leaks[:min(len(leaks), 40)], "\n"))
	}
	a.checkSweep(producer, consumer)
}

// checkSweep plants a secret in each place that is swept and fails the test unless it is found there.
func (a *aviary) checkSweep(nodes ...*process) {
	a.t.Helper()
	text := canaries["auth password"]
	redis := openRedis(a.t, config.Redis{Socket: a.redis.Socket, Password: secret.New(canaries["Redis password"])})
	if err := redis.HSet(a.t.Context(), "pollux:planted", "field", "user:"+base64.StdEncoding.EncodeToString([]byte("x:"+text))).Err(); err != nil {
		a.t.Fatal(err)
	}
	task := asynq.NewTask("planted", []byte(`{"x":"`+hex.EncodeToString([]byte(text))+`"}`))
	if _, err := asynq.NewClientFromRedisClient(redis).Enqueue(task, asynq.Queue("nobody")); err != nil { // which no node serves
		a.t.Fatal(err)
	}
	if err := a.store.AddEvent(a.t.Context(), device.Event{Type: "planted", Message: "it is " + text}); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "planted.log"), []byte(fmt.Sprintf(`{"err":%q}`, text)), 0o600); err != nil {
		a.t.Fatal(err)
	}
	a.add("planted-"+hex.EncodeToString([]byte(text)), a.port, "udp", snmp.V2c, "community")
	a.say(0, "", nil, "device", "list", "--json")
	hidden := []string{"Redis hash pollux:planted", "appendonlydir", "/asynqmon/api/queues/nobody/pending_tasks", "table eventlog", "planted.log", `pollux ["device" "list" "--json"]`}
	until(a.t, startLimit, "what was planted is found", func() bool {
		leaks := a.finder.leaks(a.sweep(nodes...))
		hidden = slices.DeleteFunc(hidden, func(place string) bool {
			return slices.ContainsFunc(leaks, func(leak string) bool {
				return strings.Contains(leak, place) && strings.Contains(leak, ": auth password (")
			})
		})
		return len(hidden) == 0
	})
}
