package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/polluxtest"
	"pollux/tasks"
)

// asynqmonVersion is the release of the stand-alone program, the one of go.mod.
const asynqmonVersion = "v0.7.2"

func TestQueueMonitorRefusesEveryChange(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", thirty(0, 3600)...)
	r.leads(t).tick(t.Context(), r.clock.Now().Unix())
	server := httptest.NewServer(QueueMonitor(r.client))
	defer server.Close()
	const queue = "/asynqmon/api/queues/poller:0"
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{http.MethodGet, "/asynqmon/", http.StatusOK},
		{http.MethodHead, "/asynqmon/", http.StatusOK},
		{http.MethodGet, queue, http.StatusOK},
		{http.MethodPost, "/asynqmon/", http.StatusMethodNotAllowed},
		{http.MethodPost, queue + ":pause", http.StatusMethodNotAllowed},
		{http.MethodPost, queue + ":resume", http.StatusMethodNotAllowed},
		{http.MethodDelete, queue, http.StatusMethodNotAllowed},
		{http.MethodDelete, queue + "/pending_tasks:delete_all", http.StatusMethodNotAllowed},
		{http.MethodPost, queue + "/pending_tasks:archive_all", http.StatusMethodNotAllowed},
		{http.MethodPost, queue + "/active_tasks:cancel_all", http.StatusMethodNotAllowed},
		{http.MethodPut, queue, http.StatusMethodNotAllowed},
		{http.MethodOptions, queue, http.StatusMethodNotAllowed},
		{"BREW", queue, http.StatusMethodNotAllowed},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "text/plain") // what any web page may send without asking
		request.Header.Set("Origin", "http://elsewhere.example")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, response.StatusCode, c.code)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", c.method, c.path, name, got, want)
			}
		}
		policy := response.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'self'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'", "form-action 'none'", "connect-src 'self'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s %s: the policy %q has no %s", c.method, c.path, policy, part)
			}
		}
		if response.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s: other origins may read it", c.method, c.path)
		}
	}
	if n := len(r.pending(t, 0)); n != 30 {
		t.Errorf("%d tasks wait, want 30", n)
	}
}

// busy fills queues: poller:0 with a finished, a failed and a running task and three that wait, poller:3 with two that wait.
func busy(t *testing.T, r *rig) (release func()) {
	t.Helper()
	r.enqueue(t, 0, 1, 6)
	running, goOn := make(chan struct{}), make(chan struct{})
	server := asynq.NewServerFromRedisClient(r.client, asynq.Config{
		Concurrency: 1, Queues: map[string]int{"poller:0": 1, "poller:3": 1}, LogLevel: asynq.FatalLevel, TaskCheckInterval: 10 * time.Millisecond,
	})
	if err := server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		p, err := tasks.ParsePoll(task.Payload())
		switch {
		case err != nil:
			return err
		case p.DeviceID == 1:
			return nil
		case p.DeviceID == 2:
			return fmt.Errorf("the disk is full: %w", asynq.SkipRetry)
		}
		close(running)
		<-goOn
		return errors.New("over")
	})); err != nil {
		t.Fatal(err)
	}
	<-running
	r.enqueue(t, 3, 100, 2)
	return func() {
		close(goOn)
		server.Shutdown()
	}
}

// monitored is what a monitor's API says, reduced to what does not change from moment to moment.
type monitored struct {
	Queues  map[string]map[string]any // by name
	Tasks   map[string][]string       // by queue and state: id, type, payload
	Servers []string
}

func monitor(t *testing.T, base string) monitored {
	t.Helper()
	get := func(path string, into any) {
		t.Helper()
		response, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %d, %v: %.300s", path, response.StatusCode, err, body)
		}
		if err := json.Unmarshal(body, into); err != nil {
			t.Fatalf("GET %s: %v: %.300s", path, err, body)
		}
	}
	m := monitored{Queues: map[string]map[string]any{}, Tasks: map[string][]string{}}
	var queues struct {
		Queues []map[string]any `json:"queues"`
	}
	get("/api/queues", &queues)
	for _, q := range queues.Queues {
		kept := map[string]any{}
		for _, name := range []string{"active", "pending", "archived", "completed", "retry", "scheduled", "paused", "size"} {
			kept[name] = q[name]
		}
		m.Queues[fmt.Sprint(q["queue"])] = kept
	}
	for name := range m.Queues {
		for _, state := range []string{"active", "pending", "archived", "completed", "retry", "scheduled"} {
			var found struct {
				Tasks []struct{ ID, Type, Payload, Queue string }
			}
			get("/api/queues/"+name+"/"+state+"_tasks", &found)
			for _, task := range found.Tasks {
				m.Tasks[name+" "+state] = append(m.Tasks[name+" "+state], task.ID+" "+task.Type+" "+task.Payload)
			}
		}
	}
	var servers struct {
		Servers []struct {
			Queues      map[string]int `json:"queue_priorities"`
			Concurrency int            `json:"concurrency"`
			Status      string         `json:"status"`
			PID         int            `json:"pid"`
		} `json:"servers"`
	}
	get("/api/servers", &servers)
	for _, s := range servers.Servers {
		m.Servers = append(m.Servers, fmt.Sprint(s.PID, s.Concurrency, s.Status, s.Queues))
	}
	return m
}

// standAlone builds the released stand-alone program and starts it; it returns its address.
func standAlone(t *testing.T, redisAddress string) string {
	t.Helper()
	dir := t.TempDir()
	install := exec.Command("go", "install", "github.com/hibiken/asynqmon/cmd/asynqmon@"+asynqmonVersion)
	install.Dir, install.Env = dir, append(os.Environ(), "GOBIN="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("build asynqmon: %v: %s", err, out)
	}
	port := polluxtest.FreePort(t)
	command := exec.Command(filepath.Join(dir, "asynqmon"), "-port", strconv.Itoa(port), "-redis-addr", redisAddress)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // killed
	})
	address := "http://127.0.0.1:" + strconv.Itoa(port)
	polluxtest.Eventually(t, time.Minute, "asynqmon answers", func() bool {
		response, err := http.Get(address + "/api/queues")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return address
}

// TestStandAloneAsynqmonShowsTheSame compares the released program of asynqmon with the pages that a producer mounts.
func TestStandAloneAsynqmonShowsTheSame(t *testing.T) {
	t.Parallel()
	if text, err := os.ReadFile("../go.mod"); err != nil || !strings.Contains(string(text), "github.com/hibiken/asynqmon "+asynqmonVersion+"\n") {
		t.Errorf("go.mod has another version than %s (%v)", asynqmonVersion, err)
	}
	server := polluxtest.Redis(t)
	r := newRig(t, server, "p1")
	address := standAlone(t, server.Address)
	release := busy(t, r)
	defer release()
	mounted := httptest.NewServer(QueueMonitor(r.client))
	defer mounted.Close()
	var alone, ours monitored
	polluxtest.Eventually(t, time.Minute, "both show all tasks and the server", func() bool {
		alone, ours = monitor(t, address), monitor(t, mounted.URL+strings.TrimSuffix(QueueMonitorPath, "/"))
		return len(alone.Servers) == 1 && len(ours.Servers) == 1 && len(ours.Tasks["poller:0 archived"]) == 1 && len(alone.Tasks["poller:0 archived"]) == 1
	})
	if a, o := fmt.Sprint(alone), fmt.Sprint(ours); a != o {
		t.Errorf("the stand-alone program shows\n%s\nthe mounted one\n%s", a, o)
	}
	if names := slices.Sorted(maps.Keys(alone.Queues)); !slices.Equal(names, []string{"poller:0", "poller:3"}) {
		t.Errorf("queues are %v", names)
	}
	if q := alone.Queues["poller:0"]; fmt.Sprint(q["pending"], q["active"], q["archived"], q["completed"]) != "3 1 1 1" {
		t.Errorf("queue poller:0: %v", q)
	}
	for state, id := range map[string]int64{"active": 3, "archived": 2, "completed": 1} {
		want := fmt.Sprintf(`poll:%d:%d poll {"device_id":%d,"slot":%d,"interval":3600}`, id, epoch, id, epoch)
		if found := alone.Tasks["poller:0 "+state]; len(found) != 1 || found[0] != want {
			t.Errorf("%s tasks are %q, want %q", state, found, want)
		}
	}
	if found := alone.Tasks["poller:3 pending"]; len(found) != 2 || !strings.Contains(found[0], `{"device_id":10`) {
		t.Errorf("pending tasks of poller:3 are %q", found)
	}
	if !strings.Contains(alone.Servers[0], "poller:0:1 poller:3:1") {
		t.Errorf("servers are %q", alone.Servers)
	}
}
