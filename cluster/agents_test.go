package cluster_test

import (
	"testing"
	"time"

	"pollux/cluster"
	"pollux/polluxtest"
)

func TestAgentHasSoManyPlaces(t *testing.T) {
	t.Parallel()
	client := connect(t, at(t, polluxtest.Redis(t).Address))
	one, other := cluster.NewAgents(client, "c1", quiet()), cluster.NewAgents(client, "c2", quiet())
	enter := func(a *cluster.Agents, agent string, limit int, gap, lasts time.Duration) (func(), bool) {
		leave, ok, err := a.Enter(t.Context(), agent, limit, gap, lasts)
		if err != nil {
			t.Fatal(err)
		}
		return leave, ok
	}
	first, ok := enter(one, "chassis:161", 2, 0, time.Minute)
	_, second := enter(other, "chassis:161", 2, 0, time.Minute)
	_, third := enter(one, "chassis:161", 2, 0, time.Minute)
	_, elsewhere := enter(one, "chassis:162", 2, 0, time.Minute)
	if !ok || !second || third || !elsewhere {
		t.Errorf("first %t, second %t, third %t, another agent %t", ok, second, third, elsewhere)
	}
	first()
	if _, ok = enter(one, "chassis:161", 2, 0, time.Minute); !ok {
		t.Error("a place that was given back is not free")
	}

	_, ok = enter(one, "dead:161", 1, 0, time.Second)
	if _, again := enter(other, "dead:161", 1, 0, time.Second); !ok || again {
		t.Errorf("first %t, second %t", ok, again)
	}
	polluxtest.Eventually(t, 20*time.Second, "the place of a node that died lapses", func() bool {
		_, ok := enter(other, "dead:161", 1, 0, time.Second)
		return ok
	})

	leave, ok := enter(one, "slow:161", 1, time.Second, time.Minute)
	left := time.Now()
	leave()
	if _, again := enter(other, "slow:161", 1, time.Second, time.Minute); !ok || again {
		t.Errorf("first %t, within the gap %t", ok, again)
	}
	polluxtest.Eventually(t, 20*time.Second, "the gap ends", func() bool {
		_, ok := enter(other, "slow:161", 1, time.Second, time.Minute)
		return ok
	})
	if gap := time.Since(left); gap < time.Second {
		t.Errorf("the gap was %v", gap)
	}
	if n := client.PTTL(t.Context(), "pollux:agent:chassis:161").Val(); n <= 0 || n > time.Minute {
		t.Errorf("the key lasts %v", n)
	}
}
