package tasks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pollux/tasks"
)

func ExamplePoll_Task() {
	task, err := tasks.Poll{DeviceID: 1, Slot: 1795340000, Interval: 300}.Task(0)
	if err != nil {
		panic(err)
	}
	fmt.Println(task.Type(), string(task.Payload()))
	// Output: poll {"device_id":1,"slot":1795340000,"interval":300}
}

func TestPollSurvivesThePayload(t *testing.T) {
	t.Parallel()
	want := tasks.Poll{DeviceID: 42, Slot: 1795340000, Interval: 10}
	task, err := want.Task(3)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tasks.ParsePoll(task.Payload())
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if got.ID() != "poll:42:1795340000" || got.End() != 1795340010 {
		t.Errorf("id %s, end %d", got.ID(), got.End())
	}
}

func TestParsePollRefuses(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		"", "{}", "null", `{"device_id":1}`, `{"device_id":-1,"slot":1,"interval":10}`, `{"device_id":1,"slot":1,"interval":0}`,
		`{"device_id":1,"slot":1,"interval":100000}`, `{"device_id":"1","slot":1,"interval":10}`, "\x00", strings.Repeat(" ", 300) + `{"device_id":1,"slot":1,"interval":10}`,
	} {
		if _, err := tasks.ParsePoll([]byte(payload)); !errors.Is(err, tasks.ErrPayload) {
			t.Errorf("%.40q: %v", payload, err)
		}
	}
}

func TestSplitQueue(t *testing.T) {
	t.Parallel()
	if kind, group := tasks.SplitQueue(tasks.Queue(tasks.KindPoller, 17)); kind != tasks.KindPoller || group != 17 {
		t.Errorf("got %s, %d", kind, group)
	}
	for _, name := range []string{"", "default", "billing", "poller:", "poller:x", "poller:-1", "poller:01", "poller:99999999999999999999"} {
		if kind, group := tasks.SplitQueue(name); kind != "" || group != -1 {
			t.Errorf("%q: %s, %d", name, kind, group)
		}
	}
}

func TestValidQueue(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"poller:0", "poller:17", "discovery:3", "billing", "billing:2"} {
		if !tasks.ValidQueue(name) {
			t.Errorf("%s is refused", name)
		}
	}
	for _, name := range []string{"", "default", "poller", "poller:", "poller:-1", "poller:1 ", "billing:x", "{poller}:1", "poller:1\n"} {
		if tasks.ValidQueue(name) {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestDiscoverSurvivesThePayload(t *testing.T) {
	t.Parallel()
	want := tasks.Discover{DeviceID: 42, Slot: 1795340000, Interval: 21600}
	task, err := want.Task(3)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tasks.ParseDiscover(task.Payload())
	if err != nil || got != want || task.Type() != tasks.TypeDiscover {
		t.Errorf("got %s %+v, %v", task.Type(), got, err)
	}
	if got.ID() != "discover:42:1795340000" {
		t.Errorf("id %s", got.ID())
	}
	for _, payload := range []string{
		"", "{}", "null", `{"device_id":1}`, `{"device_id":-1,"slot":1,"interval":300}`, `{"device_id":1,"slot":1,"interval":0}`,
		`{"device_id":1,"slot":1,"interval":1000000000}`, "\x00", strings.Repeat(" ", 300) + `{"device_id":1,"slot":1,"interval":300}`,
	} {
		if _, err := tasks.ParseDiscover([]byte(payload)); !errors.Is(err, tasks.ErrPayload) {
			t.Errorf("%.40q: %v", payload, err)
		}
	}
}
