package main_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// TestDiscoverASlash20 searches 4,094 addresses of which 1,000 have an agent, and
// finds exactly those in less than a minute on two cores. Whoever may send ICMP
// gets an answer of every address here, so nothing is saved by it; SNMP tells the agents from the others, which are silent.
func TestDiscoverASlash20(t *testing.T) {
	t.Parallel()
	const agents, limit = 1000, 60 * time.Second
	dir := shortDir(t)
	environ := []string{"DB_DATABASE=" + dir + "/pollux.db", "APP_KEY=base64:MDEyMzQ1Njc4OWFiY2RlZkFCQ0RFRmdoaWprbG1ub3A="}
	simulated := start(t, dir, "agents", environ, "simulate", "--listen", "127.85.0.0/20:0", "--devices", fmt.Sprint(agents), "--ports", "1", "--community", "discovered")
	port := simulated.said(answering, startLimit)[1]
	cli(t, dir, environ, "migrate", "up")
	cli(t, dir, environ, "config", "set", "nets", "127.85.0.0/20")
	cli(t, dir, environ, "config", "set", "nets.allow", "127.85.0.0/20")
	cli(t, dir, environ, "credential", "add", "found", "-2", "-c", "discovered")
	began := time.Now()
	out := cli(t, dir, environ, "discover", "127.85.0.0/20", "-r", port, "--json")
	took := time.Since(began)
	var found struct {
		Addresses int `json:"addresses"`
		Items     []struct {
			Address string `json:"address"`
			SysName string `json:"sys_name"`
			Set     string `json:"credential_set"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	if t.Logf("%d addresses, %d agents in %v", found.Addresses, len(found.Items), took); took > limit {
		t.Errorf("it took %v, at most %v", took, limit)
	}
	if found.Addresses != 4094 || len(found.Items) != agents {
		t.Fatalf("%d agents at %d addresses, want %d at 4094", len(found.Items), found.Addresses, agents)
	}
	next := netip.MustParseAddr("127.85.0.1")
	for i, item := range found.Items {
		if item.Address != next.String() || item.SysName != fmt.Sprintf("sim-%05d", i) || item.Set != "found" {
			t.Fatalf("agent %d is %+v, want that of %s", i, item, next)
		}
		next = next.Next()
	}
}
