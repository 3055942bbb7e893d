package main_test

import (
	"testing"
	"time"

	"pollux/polluxtest"
)

// TestSettingActsOnEveryNode changes a setting from the command line while
// three nodes poll, and looks at what they do.
func TestSettingActsOnEveryNode(t *testing.T) {
	t.Parallel()
	const effect, watch = 10 * time.Second, 5 * time.Second
	d := deploy(t, polluxtest.PostgreSQL(t))
	cli(t, d.dir, d.env, "config", "set", "service_poller_workers", "40")
	// A poll takes about two seconds, so that each node has several under way.
	f := startFleet(t, d.dir, 60, 4, 10, 250*time.Millisecond)
	d.run("producer", "p1")
	nodes := []*process{d.run("consumer", "c1"), d.run("consumer", "c2"), d.run("consumer", "c3")}
	f.add(d.store)
	flying := func(p *process) float64 { return p.scrape().sum("pollux_polls_in_flight") }
	for _, p := range nodes {
		until(t, time.Minute, p.name+" polls several devices at once", func() bool { return flying(p) > 1 })
	}
	changed := time.Now()
	cli(t, d.dir, d.env, "config:set", "service_poller_workers", "1")
	for _, p := range nodes {
		until(t, time.Until(changed.Add(effect)), p.name+" has one worker", func() bool {
			m := p.scrape()
			return m.sum("pollux_workers", `kind="poller"`) == 1 && m.sum("pollux_polls_in_flight") <= 1
		})
		t.Logf("%s has one worker after %v", p.name, time.Since(changed).Round(100*time.Millisecond))
	}
	for end := time.Now().Add(watch); time.Now().Before(end); {
		for _, p := range nodes {
			if n := flying(p); n > 1 {
				t.Fatalf("%s polls %g devices at once, its workers are 1", p.name, n)
			}
		}
	}
	changed = time.Now()
	cli(t, d.dir, d.env, "config", "unset", "service_poller_workers")
	for _, p := range nodes {
		until(t, time.Until(changed.Add(effect)), p.name+" has the default again", func() bool { return p.scrape().sum("pollux_workers", `kind="poller"`) == 100 })
		until(t, time.Minute, p.name+" polls several devices at once again", func() bool { return flying(p) > 1 })
	}
}
