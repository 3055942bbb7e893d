package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cluster"
	"pollux/config"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/secret"
)

const (
	kindDevices  = 6
	kindInterval = 10
)

// redisKind is one way to set up Redis, with what the nodes are told besides.
type redisKind struct {
	login config.Redis
	more  []string
	check func(t *testing.T, d *deployment) // nil for no more than that polling works
}

// redisKinds starts the servers when a kind is asked for.
func redisKinds() map[string]func(t *testing.T) redisKind {
	return map[string]func(t *testing.T) redisKind{
		"requirepass": func(t *testing.T) redisKind {
			c := redisAt(t, polluxtest.Redis(t, "--requirepass", "a password # with $signs"))
			c.Password = secret.New("a password # with $signs")
			return redisKind{login: c}
		},
		"ACL user": func(t *testing.T) redisKind {
			c := redisAt(t, polluxtest.PackagedRedis(t, 0))
			c.Username, c.Password = "pollux", secret.New(polluxtest.PolluxPassword)
			return redisKind{login: c, check: checkRareCommands}
		},
		"unix socket": func(t *testing.T) redisKind {
			return redisKind{login: config.Redis{Socket: polluxtest.Redis(t, "--port", "0").Socket}}
		},
		"TLS": tlsKind,
		"database 3": func(t *testing.T) redisKind {
			c := redisAt(t, polluxtest.Redis(t))
			c.DB = 3
			return redisKind{login: c, check: func(t *testing.T, d *deployment) {
				first := d.login
				first.DB = 0
				if n := openRedis(t, first).DBSize(t.Context()).Val(); n != 0 {
					t.Errorf("database 0 holds %d keys", n)
				}
			}}
		},
		"Sentinels": func(t *testing.T) redisKind {
			c := polluxtest.Sentinels(t, polluxtest.SentinelOptions{}).Config()
			// The host is a wrong one: Sentinel wins.
			return redisKind{login: c, more: []string{"REDIS_HOST=127.0.0.1", "REDIS_PORT=1"}, check: func(t *testing.T, d *deployment) {
				out := cli(t, d.dir, append(d.env, "NODE_ID=x"), "doctor")
				for _, says := range []string{"the Sentinels win", "3 of 3 Sentinels answer; the master of mymaster is 127.0.0.1:"} {
					if !strings.Contains(out, says) {
						t.Errorf("the doctor does not say %q:\n%s", says, out)
					}
				}
			}}
		},
		"Sentinels with users and TLS": func(t *testing.T) redisKind {
			return redisKind{login: polluxtest.Sentinels(t, polluxtest.SentinelOptions{WatcherUser: "watcher", TLS: true}).Config()}
		},
		"journal apart": func(t *testing.T) redisKind {
			own := redisAt(t, polluxtest.Redis(t, "--requirepass", "CANARY-journal"))
			own.Password = secret.New("CANARY-journal")
			return redisKind{
				login: redisAt(t, polluxtest.Redis(t)), more: redisVariables("JOURNAL_REDIS_", own),
				check: func(t *testing.T, d *deployment) { checkApart(t, d.client(), d.journalClient()) },
			}
		},
	}
}

func tlsKind(t *testing.T) redisKind {
	files, port := polluxtest.NewCertificates(t), polluxtest.FreePort(t)
	polluxtest.Redis(t, append(files.Flags(fmt.Sprint(port)), "--port", "0")...)
	c := config.Redis{Scheme: "tls", Host: "127.0.0.1", Port: uint16(port), TLSCA: files.Authority}
	return redisKind{login: c, check: func(t *testing.T, d *deployment) {
		wrong := append(d.env, "NODE_ID=c9", "REDIS_TIMEOUT=1", "REDIS_TLS_CA="+polluxtest.NewCertificates(t).Authority)
		says := refused(t, command(t, d.dir, wrong, "consumer"), 5)
		if !strings.Contains(says, "not signed by an authority known here: set REDIS_TLS_CA") {
			t.Errorf("with another authority: %s", says)
		}
	}}
}

// refused runs a process that must end with a code and one line of error, and returns that line.
func refused(t testing.TB, c *exec.Cmd, code int) string {
	t.Helper()
	var errout bytes.Buffer
	c.Stderr = &errout
	_ = c.Run() // its code is looked at
	var lines []string
	for line := range strings.Lines(errout.String()) {
		if !strings.HasPrefix(line, `{"time":`) {
			lines = append(lines, line)
		}
	}
	if got := c.ProcessState.ExitCode(); got != code || len(lines) != 1 || !strings.HasPrefix(lines[0], "pollux: ") {
		t.Fatalf("%q ends with %d, want %d, and says:\n%s", c.Args[1:], got, code, errout.String())
	}
	return lines[0]
}

// TestPollsOverEveryKindOfRedis runs a producer and a consumer on each kind of
// Redis for some slots of a small fleet.
func TestPollsOverEveryKindOfRedis(t *testing.T) {
	t.Parallel()
	shared := startFleet(t, shortDir(t), kindDevices, 4, kindInterval, 0)
	// All at once, not as many as there are cores: they wait for slots most of the time.
	var running sync.WaitGroup
	for name, begin := range redisKinds() {
		running.Go(func() {
			t.Run(name, func(t *testing.T) {
				kind := begin(t)
				f := *shared
				f.t = t
				pollsOver(t, &f, deployAt(t, polluxtest.PostgreSQL(t), kind.login, kind.more...), kind.check)
			})
		})
	}
	running.Wait()
}

func pollsOver(t *testing.T, f *fleet, d *deployment, check func(*testing.T, *deployment)) {
	p, c := d.run("producer", "p1"), d.run("consumer", "c1")
	adding := time.Now()
	added := f.add(d.store)
	polled(t, c, 4*kindDevices)
	end, warm := time.Now(), added.Add(kindInterval*time.Second) // all kinds start at once
	logged := f.checkJournal(journalEntries(t, d.journalClient()), f.offered(adding, added))
	if judged := f.finishedOnce(logged.up, warm, end); judged == 0 {
		t.Error("no slot could be judged")
	}
	checkQueues(t, d.client())
	if behind, known := lag(t, d.journalClient()); !known || behind > 20*time.Second {
		t.Errorf("the recorder is %v behind (has there been one: %t)", behind, known)
	}
	checkQueueMonitor(t, p)
	cli(t, d.dir, append(d.env, "NODE_ID=x"), "doctor")
	cli(t, d.dir, append(d.env, "NODE_ID=x"), "device", "poll", "sim-0000")
	if check != nil {
		check(t, d)
	}
	d.drain(p, c)
	for _, client := range []cluster.Client{d.client(), d.journalClient()} {
		if denied := infoField(t, client, "errorstats", "errorstat_NOPERM"); denied != "" {
			t.Errorf("Redis denied commands: %s", denied)
		}
	}
	checkNoSecret(t, d, p, c)
}

// journalClient is a connection to the Redis that holds the journal.
func (d *deployment) journalClient() cluster.Client {
	d.t.Helper()
	own, err := config.Load(d.envFile(), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return openRedis(d.t, own.JournalRedis)
}

// envFile writes the variables of all nodes into a file.
func (d *deployment) envFile() string {
	d.t.Helper()
	var text strings.Builder
	for _, variable := range d.env {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&text, "%s='%s'\n", name, value)
	}
	file := filepath.Join(d.dir, "shared.env")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return file
}

// checkApart fails the test unless the journal alone is in one Redis, and all else in the other.
func checkApart(t *testing.T, queues, log cluster.Client) {
	t.Helper()
	for name, side := range map[string]struct {
		client          cluster.Client
		journal, queues int64
	}{"the queues' Redis": {queues, 0, 1}, "the journal's Redis": {log, 1, 0}} {
		journal := side.client.Exists(t.Context(), journalStream).Val()
		queue := side.client.Exists(t.Context(), "asynq:queues").Val()
		if journal != side.journal || queue != side.queues {
			t.Errorf("%s: the journal is there: %d, queues are there: %d", name, journal, queue)
		}
	}
}

// checkQueueMonitor opens the pages of asynqmon that ask Redis most.
func checkQueueMonitor(t *testing.T, p *process) {
	t.Helper()
	for _, page := range []string{"/asynqmon/api/queues", "/asynqmon/api/redis_info", "/asynqmon/api/servers", "/asynqmon/api/queues/poller:0/active_tasks", "/asynqmon/api/queue_stats"} {
		response, err := http.Get("http://" + p.address + page)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !json.Valid(body) { // a page that is not there is the front page
			t.Errorf("%s answers %d: %v: %.300s", page, response.StatusCode, err, body)
		}
	}
}

// checkRareCommands does as the user of Redis what a run of half a minute does not come to.
func checkRareCommands(t *testing.T, d *deployment) {
	client := d.client()
	for _, err := range []error{
		client.LPush(t.Context(), "asynq:{poller:0}:active", "ghost").Err(),
		client.Do(t.Context(), "ZADD", "asynq:{poller:0}:lease", 1, "garbage").Err(),
		client.HSet(t.Context(), "asynq:{poller:0}:t:garbage", "msg", "no message", "state", "active").Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	janitor := cluster.NewJanitor(client, quiet(), prometheus.NewRegistry())
	until(t, startLimit, "the janitor has removed what is stuck", func() bool {
		if err := janitor.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids, err := client.LRange(t.Context(), "asynq:{poller:0}:active", 0, -1).Result()
		return err == nil && !strings.Contains(fmt.Sprint(ids), "ghost")
	})
	j := journal.New(client, 0)
	if err := j.Tombstone(t.Context(), 1<<40, time.Hour); err != nil {
		t.Error(err)
	}
	if err := j.ForgetTarget(t.Context(), strings.Repeat("0", 18)); !errors.Is(err, journal.ErrNoTarget) {
		t.Errorf("a target that was never there is forgotten: %v", err)
	}
	leases := cluster.NewDeviceLeases(client, "x", quiet())
	release, ok, err := leases.Acquire(t.Context(), 1<<40, time.Minute, time.Now().Add(time.Minute))
	if err != nil || !ok {
		t.Errorf("a device's lease: %t, %v", ok, err)
	}
	release()
	if nodes, err := cluster.List(t.Context(), client); err != nil || len(nodes) != 2 {
		t.Errorf("nodes %v, %v", nodes, err)
	}
}

// checkNoSecret looks for the passwords in what the processes said.
func checkNoSecret(t *testing.T, d *deployment, nodes ...*process) {
	t.Helper()
	for _, p := range nodes {
		text, err := os.ReadFile(p.log)
		if err != nil {
			t.Fatal(err)
		}
		for _, password := range []string{d.login.Password.Reveal(), d.login.SentinelPassword.Reveal(), "CANARY"} {
			if password != "" && strings.Contains(string(text), password) {
				t.Errorf("%s shows a password", p.name)
			}
		}
	}
}

// infoField is a field of INFO; "" when it is not there.
func infoField(t testing.TB, client cluster.Client, section, name string) string {
	t.Helper()
	info, err := client.Info(t.Context(), section).Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
