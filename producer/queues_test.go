package producer

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"pollux/cluster"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/tasks"
)

func TestFullQueueIsSkipped(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", append(thirty(0, 10), device.Scheduled{ID: 99, Group: 1, Interval: 10})...)
	client := asynq.NewClientFromRedisClient(r.client)
	for i := range int64(60) {
		task, err := tasks.Poll{DeviceID: 1000 + i, Slot: epoch, Interval: 3600}.Task(0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Enqueue(task); err != nil {
			t.Fatal(err)
		}
	}
	term := r.leads(t)
	r.queues.observe(t.Context())
	now := r.clock.Now().Unix()
	term.tick(t.Context(), now)
	if n := len(r.pending(t, 0)); n != 60 {
		t.Errorf("%d tasks wait in the full queue, want 60", n)
	}
	if n := len(r.pending(t, 1)); n != 1 {
		t.Errorf("%d tasks wait in the other queue, want 1", n)
	}
	if n := r.metric(t, "pollux_offers_total", "group=0", "result=queue_full"); n != 30 {
		t.Errorf("%v skipped slots are counted, want 30", n)
	}
	if n := r.metric(t, "pollux_queue_tasks", "queue=poller:0", "state=pending"); n != 60 {
		t.Errorf("queue_tasks is %v", n)
	}
	if n, err := asynq.NewInspectorFromRedisClient(r.client).DeleteAllPendingTasks("poller:0"); err != nil || n != 60 {
		t.Fatal(n, err)
	}
	d := r.queues.depths["poller:0"]
	d.read = d.read.Add(-sampleEvery)
	r.queues.depths["poller:0"] = d
	term.tick(t.Context(), now+10)
	if n := len(r.pending(t, 0)); n != 30 {
		t.Errorf("%d tasks wait in the emptied queue, want 30", n)
	}
}

func TestFullRedisIsSpared(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", thirty(0, 10)...)
	term := r.leads(t)
	now := r.clock.Now().Unix()
	used := infoNumber(r.client.Info(t.Context(), "memory").Val(), "used_memory")
	r.client.ConfigSet(t.Context(), "maxmemory", fmt.Sprint(used*100/85))
	term.lookAtMemory(t.Context())
	for second := range int64(10) {
		term.tick(t.Context(), now+1+second)
	}
	if n := len(r.pending(t, 0)); n != 0 {
		t.Errorf("%d tasks wait", n)
	}
	if n := r.metric(t, "pollux_offers_total", "group=0", "result=memory"); n < 30 {
		t.Errorf("%v skipped slots are counted, want at least 30", n)
	}
	r.client.ConfigSet(t.Context(), "maxmemory", "0")
	term.lookAtMemory(t.Context())
	term.tick(t.Context(), now+11)
	if n := len(r.pending(t, 0)); n != 30 {
		t.Errorf("%d tasks wait once there is memory, want 30", n)
	}
}

func TestQueueMonitorOnlyShows(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", thirty(0, 3600)...)
	r.leads(t).tick(t.Context(), r.clock.Now().Unix())
	server := httptest.NewServer(QueueMonitor(r.client))
	defer server.Close()
	answer := func(method, path string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if code, body := answer("GET", "/asynqmon/api/queues"); code != 200 || !strings.Contains(body, `"poller:0"`) {
		t.Errorf("queues: %d %s", code, body)
	}
	if code, body := answer("GET", "/asynqmon/"); code != 200 || !strings.Contains(body, "<html") {
		t.Errorf("page: %d %.100s", code, body)
	}
	if code, _ := answer("POST", "/asynqmon/api/queues/poller:0:pause"); code != http.StatusMethodNotAllowed {
		t.Errorf("pausing a queue: %d", code)
	}
	if code, _ := answer("DELETE", "/asynqmon/api/queues/poller:0"); code != http.StatusMethodNotAllowed {
		t.Errorf("deleting a queue: %d", code)
	}
	if queues, err := asynq.NewInspectorFromRedisClient(r.client).Queues(); err != nil || !slices.Contains(queues, "poller:0") {
		t.Errorf("queues are %v, %v", queues, err)
	}
}

func TestGroupsWithoutNodesShow(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", device.Scheduled{ID: 1, Interval: 300}, device.Scheduled{ID: 2, Group: 4, Interval: 300})
	term := r.leads(t)
	registry, err := cluster.NewRegistry(r.client, cluster.NodeInfo{
		Role: "consumer", NodeID: "c1", Host: "h", PID: 1, Groups: func() []int64 { return []int64{0} },
	}, r.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	term.observeNodes(t.Context())
	if nodes := r.metric(t, "pollux_nodes", "role=consumer", "state=active"); nodes != 1 {
		t.Errorf("%v consumers", nodes)
	}
	if served, alone := r.metric(t, "pollux_group_nodes", "group=0"), r.metric(t, "pollux_group_nodes", "group=4"); served != 1 || alone != 0 {
		t.Errorf("group 0 has %v nodes, group 4 %v", served, alone)
	}
	r.metrics.resign()
	if nodes := r.metric(t, "pollux_nodes", "role=consumer", "state=active"); nodes != -1 {
		t.Errorf("a producer that does not lead shows %v consumers", nodes)
	}
}
