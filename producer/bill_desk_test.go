package producer

import (
	"slices"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/tasks"
)

// billingDesk opens a desk of a cluster with four devices that have billed ports, in the groups 0 and 1.
func (r *rig) billingDesk(distributed bool) *Desk {
	return NewDesk(DeskDeps{
		Store: r.store, Events: r.store, Journal: r.journal, Redis: r.client, Distributed: true,
		Billed: &fakeBilled{devices: billed(4)}, DistributedBilling: distributed, CollectInterval: 300,
	})
}

func TestQueuesOfBillingForPeople(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1")
	r.store.groups = []device.Group{{ID: 1, Name: "Berlin"}}
	r.serve(t, "c1", 0)
	type shown struct {
		name    string
		devices int
		nodes   []string
		note    string
	}
	check := func(what string, distributed bool, want ...shown) {
		t.Helper()
		queues, err := r.billingDesk(distributed).Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		queues = slices.DeleteFunc(queues, func(q QueueState) bool { return q.Name == "poller:0" || q.Name == "poller:1" })
		for i, w := range want {
			if len(queues) != len(want) || queues[i].Name != w.name || queues[i].Devices != w.devices || !slices.Equal(queues[i].Nodes, w.nodes) || queues[i].Note != w.note {
				t.Errorf("%s: %+v, want %+v", what, queues, want)
				return
			}
		}
	}
	check("nobody holds the lease", false, shown{"billing", 4, nil, "no node serves it"})
	if held, err := cluster.NewLease(r.client, cluster.BillingKey, "c1", time.Minute).TryAcquire(t.Context()); err != nil || !held {
		t.Fatal(held, err)
	}
	check("c1 holds it", false, shown{"billing", 4, []string{"c1"}, ""})
	check("distributed", true, shown{"billing:0", 2, []string{"c1"}, ""}, shown{"billing:1", 2, nil, "no node serves it"})
	if switched, err := r.billingDesk(false).Pause(t.Context(), "billing", "anna"); err != nil || len(switched) != 1 || !switched[0].Changed {
		t.Errorf("a queue of billing that never had a task is paused: %v, %v", switched, err)
	}
}

func TestFactsOfBilling(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1")
	r.serve(t, "c1", 0)
	d := device.Device{ID: 2, Hostname: "sw", Interval: 300, CreatedAt: time.Now()}
	now, err := r.client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	slot := now.Unix() - now.Unix()%300
	task, err := tasks.BillingCollect{DeviceID: 2, Slot: slot, Interval: 300}.Task("billing:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &biller{term: r.leads(t)}
	b.client = b.term.client
	if err := b.enqueueBilling(t.Context(), task, "billing:0", "the task"); err != nil {
		t.Fatal(err)
	}
	f, err := r.billingDesk(true).Facts(t.Context(), d, Outside{})
	if err != nil || f.Redis != nil || f.Billing == nil {
		t.Fatal(f.Billing, f.Redis, err)
	}
	if got := f.Billing; got.Ports != 1 || got.Read != epoch || got.Lacking != 1 || got.Queue.Name != "billing:0" || got.Queue.Pending != 1 || got.Interval != 300 {
		t.Errorf("%+v", got)
	}
	if f.Billing.Slot == slot && f.Billing.Task.State != "pending" { // unless a slot has ended meanwhile
		t.Errorf("the task is %+v", f.Billing.Task)
	}
	d.PingOnly = true
	if f, err = r.billingDesk(true).Facts(t.Context(), d, Outside{}); err != nil || f.Billing != nil {
		t.Errorf("of a device that is asked by ICMP only: %+v, %v", f.Billing, err)
	}
}
