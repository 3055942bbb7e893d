package tasks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pollux/tasks"
)

func ExampleBillingCollect_Task() {
	task, err := tasks.BillingCollect{DeviceID: 1, Slot: 1795339800, Interval: 300}.Task(tasks.CollectQueue(false, 3))
	if err != nil {
		panic(err)
	}
	fmt.Println(task.Type(), string(task.Payload()))
	// Output: billing:collect {"device_id":1,"slot":1795339800,"interval":300}
}

func TestBillingTasksSurviveTheirPayloads(t *testing.T) {
	t.Parallel()
	collect := tasks.BillingCollect{DeviceID: 42, Slot: 1795339800, Interval: 300}
	task, err := collect.Task(tasks.CollectQueue(true, 3))
	if err != nil {
		t.Fatal(err)
	}
	got, err := tasks.ParseBillingCollect(task.Payload())
	if err != nil || got != collect || got.ID() != "billing:collect:42:1795339800" || got.End() != 1795340100 {
		t.Errorf("got %+v (%s), %v", got, got.ID(), err)
	}
	calculate := tasks.BillingCalculate{Slot: 1795339800, Interval: 60}
	if task, err = calculate.Task(); err != nil {
		t.Fatal(err)
	}
	back, err := tasks.ParseBillingCalculate(task.Payload())
	if err != nil || back != calculate || back.ID() != "billing:calculate:1795339800" || back.End() != 1795339860 {
		t.Errorf("got %+v (%s), %v", back, back.ID(), err)
	}
}

func TestParseBillingRefuses(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		"", "{}", "null", `{"device_id":1}`, `{"device_id":-1,"slot":300,"interval":300}`, `{"device_id":1,"slot":300,"interval":0}`,
		`{"device_id":1,"slot":301,"interval":300}`, `{"device_id":1,"slot":1800,"interval":1800}`, `{"device_id":1,"slot":30,"interval":30}`,
		"\x00", strings.Repeat(" ", 300) + `{"device_id":1,"slot":300,"interval":300}`,
	} {
		if _, err := tasks.ParseBillingCollect([]byte(payload)); !errors.Is(err, tasks.ErrPayload) {
			t.Errorf("collect %.40q: %v", payload, err)
		}
	}
	for _, payload := range []string{
		"", "{}", "null", `{"slot":1}`, `{"slot":-300,"interval":300}`, `{"slot":300,"interval":100000}`, "\x00", strings.Repeat(" ", 300) + `{"slot":300,"interval":300}`,
	} {
		if _, err := tasks.ParseBillingCalculate([]byte(payload)); !errors.Is(err, tasks.ErrPayload) {
			t.Errorf("calculate %.40q: %v", payload, err)
		}
	}
}

func TestBillingQueues(t *testing.T) {
	t.Parallel()
	if name := tasks.CollectQueue(false, 7); name != "billing" || !tasks.ValidQueue(name) {
		t.Errorf("not distributed: %s", name)
	}
	name := tasks.CollectQueue(true, 7)
	if kind, group := tasks.SplitQueue(name); kind != tasks.KindBilling || group != 7 {
		t.Errorf("distributed: %s is %s of group %d", name, kind, group)
	}
	if kind, group := tasks.SplitQueue(tasks.BillingQueue); kind != "" || group != -1 {
		t.Errorf("%s is %s of group %d", tasks.BillingQueue, kind, group)
	}
}
