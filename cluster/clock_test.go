package cluster_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/cluster"
	"pollux/polluxtest"
)

func TestClockAgreesWithARealRedis(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	registry := prometheus.NewRegistry()
	c := cluster.NewClock(client, quiet(), registry)
	cluster.NewClock(client, quiet(), registry) // a second role of the process shares the metric
	if err := c.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	want, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	// Redis runs on this machine, so the offset is nearly nothing.
	if got := c.Now(); got.Sub(want).Abs() > time.Second || c.Skewed() {
		t.Errorf("now %v, Redis %v, skewed %v", got, want, c.Skewed())
	}
	if got := c.At(before); got.After(c.Now()) || before.Sub(got).Abs() > time.Second {
		t.Errorf("At(%v) gives %v", before, got)
	}
	if n, err := prometheus.Gatherer(registry).Gather(); err != nil || len(n) != 1 || n[0].GetName() != "pollux_clock_skew_seconds" {
		t.Errorf("metrics %v, %v", n, err)
	}
	s.Kill()
	if err := c.Sync(t.Context()); err == nil {
		t.Error("synced without Redis")
	}
}

func TestClockRunKeepsItSynced(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	c := cluster.NewClock(client, quiet(), prometheus.NewRegistry())
	stop := background(t, c.Run)
	polluxtest.Eventually(t, 10*time.Second, "the first sync", func() bool { return !c.Skewed() })
	stop()
}
