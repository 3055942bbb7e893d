package main_test

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
)

const journalStream = "pollux:{journal:0}"

// openRedis connects to the Redis of a test.
func openRedis(t testing.TB, c config.Redis) cluster.Client {
	t.Helper()
	c.Timeout = startLimit
	client, err := cluster.Connect(t.Context(), c, quiet(), cluster.Name("acceptance"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// redisAt is how to reach a plain redis-server of a test.
func redisAt(t testing.TB, server *polluxtest.Server) config.Redis {
	t.Helper()
	host, text, err := net.SplitHostPort(server.Address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return config.Redis{Host: host, Port: uint16(port)}
}

// redisVariables are those of .env for a Redis; prefix is REDIS_ or JOURNAL_REDIS_.
func redisVariables(prefix string, c config.Redis) (variables []string) {
	for name, value := range map[string]string{
		"SCHEME": c.Scheme, "HOST": c.Host, "PORT": strconv.Itoa(int(c.Port)), "SOCKET": c.Socket, "DB": strconv.Itoa(c.DB),
		"USERNAME": c.Username, "PASSWORD": c.Password.Reveal(), "TLS_CA": c.TLSCA, "SENTINEL": strings.Join(c.Sentinels, ","),
		"SENTINEL_SERVICE": c.SentinelService, "SENTINEL_USERNAME": c.SentinelUsername, "SENTINEL_PASSWORD": c.SentinelPassword.Reveal(),
	} {
		if value != "" && value != "0" {
			variables = append(variables, prefix+name+"="+value)
		}
	}
	return variables
}

// journalEntries reads the whole log, which is kept for longer than a test lasts.
func journalEntries(t testing.TB, client cluster.Client) (all []entry) {
	t.Helper()
	from := "-"
	for {
		messages, err := client.XRangeN(t.Context(), journalStream, from, "+", 1000).Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) == 0 {
			return all
		}
		for _, message := range messages {
			payload, _ := message.Values["e"].(string)
			e, err := readEntry([]byte(payload))
			if err != nil {
				t.Fatalf("entry %s: %v", message.ID, err)
			}
			e.at = appendedAt(t, message.ID)
			all = append(all, e)
		}
		from = "(" + messages[len(messages)-1].ID
	}
}

// appendedAt is the time in the id of an entry of a stream.
func appendedAt(t testing.TB, id string) time.Time {
	t.Helper()
	text, _, _ := strings.Cut(id, "-")
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("the id %q: %v", id, err)
	}
	return time.UnixMilli(ms)
}

// span is a stretch of time.
type span struct{ from, to time.Time }

// offered is when devices that came into the inventory until then have had their first offer.
func (f *fleet) offered(from, added time.Time) span {
	const reread = 6 * time.Second // the leader reads the schedule every 5 s
	return span{from, added.Add(reread)}
}

// history is what the log says: all polls, those that are up, and those that
// were cut short, by their slots, and what it has of the ports of each poll.
type history struct {
	all, up, short map[slot]int
	ports          map[slot]map[int64]portSample
}

// checkJournal fails the test unless the log holds each slot once, in order for
// each device, and up. Where current slots are offered late (to new devices,
// by a new leader) a poll may be cut short by the end of its slot.
func (f *fleet) checkJournal(entries []entry, late ...span) history {
	f.t.Helper()
	h, last := history{map[slot]int{}, map[slot]int{}, map[slot]int{}, map[slot]map[int64]portSample{}}, map[int64]int64{}
	for _, e := range entries {
		if e.begin <= last[e.device] {
			f.t.Errorf("the log has slot %v of a device after %d", e.slot, last[e.device])
		}
		last[e.device] = e.begin
		h.all[e.slot]++
		h.ports[e.slot] = e.ports
		if e.outcome == outcomeUp {
			h.up[e.slot]++
			continue
		}
		if e.outcome == outcomeDown { // it has what is known without the device; its slot is missing from the polled ones
			continue
		}
		h.short[e.slot]++
		ends := time.Unix(e.begin+int64(f.interval), 0)
		if !slices.ContainsFunc(late, func(s span) bool { return ends.After(s.from) && ends.Before(s.to.Add(3*time.Second)) }) {
			f.t.Errorf("slot %v ended with outcome %d", e.slot, e.outcome)
		}
	}
	f.t.Logf("the log holds %d polls, %d of them cut short by the end of their slot", len(entries), len(h.short))
	return h
}

// checkQueues fails the test when a task failed for good or waits for another try.
func checkQueues(t testing.TB, client cluster.Client) {
	t.Helper()
	for _, state := range []string{"archived", "retry"} {
		n, err := client.ZCard(t.Context(), "asynq:{poller:0}:"+state).Result()
		if err != nil {
			t.Fatal(err)
		}
		if n != 0 {
			t.Errorf("%d tasks are in state %s", n, state)
		}
	}
}

// finishedOnce fails the test unless all slots from a moment on that have ended
// are in the log, and returns how many there were.
func (f *fleet) finishedOnce(logged map[slot]int, from, to time.Time) int {
	f.t.Helper()
	if missed, _ := f.missing(logged, from, to); len(missed) > 0 {
		f.t.Errorf("%d slots are not in the log: %v", len(missed), some(missed))
	}
	return len(f.slots(from, to))
}

// lag is how far the slowest recorder is behind, and whether one has begun.
func lag(t testing.TB, client cluster.Client) (behind time.Duration, known bool) {
	t.Helper()
	status, err := journal.New(client, 0).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range status.Targets {
		behind = max(behind, target.Lag)
	}
	return behind, len(status.Targets) > 0
}

// lastOutcomes counts the devices whose last finished slot ended in each outcome.
func lastOutcomes(t testing.TB, client cluster.Client, ids []int64) map[device.Outcome]int {
	t.Helper()
	last, err := journal.New(client, 0).Last(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	count := map[device.Outcome]int{}
	for _, l := range last {
		count[l.Outcome]++
	}
	return count
}
