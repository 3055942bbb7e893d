//go:build faults

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/config"
	"pollux/polluxtest"
)

// These tests take Redis away in every way: by a failover, for minutes, and by
// refusing what it is asked.

const (
	redisDevices  = 300
	redisInterval = 20
	// resumed is how long after the loss of a master polls may be held up: down-after and 10 s.
	resumed = 15 * time.Second
)

// redisFault is a cluster of two producers and three consumers whose Redis is about to fail.
type redisFault struct {
	*deployment
	fleet     *fleet
	producers []*process
	consumers *total
	adding    time.Time
	added     time.Time
	late      []span               // when slots may be cut short by their end
	servers   []*polluxtest.Server // of Redis
	leaders   *total               // the producers
	calm      map[*process]levels  // before the fault
	calmAt    time.Time            // from when on missed slots are judged
	counted   float64              // missed slots that the leaders had counted then
	twice     []span               // in which a poll of one side is not known to the other
	atOnce    float64              // polls of the smaller side in these
	// parted says that a master was cut off together with a consumer: what it took and the
	// journal refuses afterwards, as older than what others measured since, is counted and not lost.
	parted bool
}

// beforeTheFault starts a cluster and waits until each device has been polled twice.
func beforeTheFault(t *testing.T, database config.Database, login config.Redis, servers ...*polluxtest.Server) *redisFault {
	t.Helper()
	x := &redisFault{deployment: deployAt(t, database, login, "POLLUX_LOG_LEVEL=debug"), servers: servers}
	x.fleet = startCanaries(t, fleetRange, x.dir, "sim", redisDevices, 4, redisInterval, 120*time.Millisecond)
	x.producers = []*process{x.run("producer", "p1"), x.run("producer", "p2")}
	x.consumers = newTotal(x.run("consumer", "c1"), x.run("consumer", "c2"), x.run("consumer", "c3"))
	x.load()
	return x
}

// load adds the devices and waits until each has been polled twice.
func (x *redisFault) load() {
	x.t.Helper()
	x.adding = time.Now()
	x.added = x.fleet.add(x.store)
	x.late = []span{x.fleet.offered(x.adding, x.added)}
	x.polledAgain(2)
	x.noteCalm()
}

// polledAgain waits until each device has been polled some times more.
func (x *redisFault) polledAgain(times int) {
	x.t.Helper()
	from := x.consumers.sum("pollux_polls_total")
	untilEvery(x.t, time.Second, 3*time.Minute, fmt.Sprintf("each device is polled %d times more", times), func() bool {
		return x.consumers.sum("pollux_polls_total") >= from+float64(times*x.fleet.devices)
	})
}

// after judges a run: every process lives, polls were held up no longer than
// limit after the fault, no device misses more than worst slots, nothing is
// polled twice or by two polls at once, all that was acknowledged is in the log
// and in the files, the queues are clean, what the leaders counted as missed is
// missing, the processes hold what they held before, and no secret got anywhere.
func (x *redisFault) after(faulted time.Time, limit time.Duration, worst int) {
	x.t.Helper()
	client := x.client()
	waitForQueues(x.t, client)
	x.settle()
	end := time.Now()
	counted := x.leaders.sum("pollux_slots_missed_total") - x.counted
	report(x.t, x.secrets(client, x.all(), x.leading(), x.folders()...))
	x.drain(x.producers...)
	acknowledged := x.idle(client)
	entries := journalEntries(x.t, client)
	logged := x.fleet.checkJournal(entries, x.late...)
	if gap := held(entries, faulted); gap > limit {
		x.t.Errorf("nothing was appended for %v", gap)
	} else {
		x.t.Logf("nothing was appended for %v after the fault; the longest gap of the run is %v", gap, longest(entries))
	}
	x.checkAcknowledged(acknowledged, len(entries))
	missed, most := x.fleet.missing(logged.up, x.added, end)
	x.checkMissed(logged.all, end, int(counted))
	x.t.Logf("%d of %d slots missed, at most %d of a device; the longest gap of a device is %v", len(missed), len(x.fleet.slots(x.added, end)), most, longestGap(logged.all))
	if most > worst {
		x.t.Errorf("a device missed %d slots: %v", most, some(missed))
	}
	x.consumers.log(x.t)
	checkQueues(x.t, client)
	report(x.t, judgeQueues(x.t.Context(), client))
	x.drain(x.consumers.nodes...)
	checkLeases(x.t, client)
	x.fleet.stop()
	reads := x.fleet.reads()
	if excused := x.fleet.polledTwice(reads, logged, x.twice...); float64(excused) > x.atOnce {
		x.t.Errorf("%d slots were polled on both sides, at most %.0f polls ran on the smaller one", excused, x.atOnce)
	}
	visits := x.fleet.visits()
	report(x.t, judgeVisits(visits))
	x.t.Logf("%d polls as the devices saw them, %d slots polled twice", len(visits), len(repeated(visits)))
	if pause := askedAgain(reads, faulted); pause > limit {
		x.t.Errorf("no device was asked until %v after the fault", pause)
	} else {
		x.t.Logf("devices were asked again %v after the fault", pause.Round(10*time.Millisecond))
	}
	x.checkRates(x.fleet, client, reads, logged, delayed, x.added, end)
}

// checkAcknowledged fails the test when polls that the consumers brought to the journal are not in the log.
func (x *redisFault) checkAcknowledged(acknowledged float64, logged int) {
	x.t.Helper()
	again := x.consumers.sum("pollux_journal_reappended_total", `result="accepted"`)
	overtaken := x.consumers.sum("pollux_journal_reappended_total", `result="stale"`)
	x.t.Logf("%.0f polls were acknowledged, the log holds %d; appended again: %.0f accepted, %.0f overtaken", acknowledged, logged, again, overtaken)
	lost := acknowledged - float64(logged)
	if x.parted {
		lost -= overtaken
	}
	if lost > 0 {
		x.t.Errorf("%.0f acknowledged polls are not in the log", lost)
	}
}

// idle waits until no task is left, and returns how many polls the consumers have brought to the journal.
func (x *redisFault) idle(client cluster.Client) (polls float64) {
	x.t.Helper()
	until(x.t, time.Minute, "the queue is empty", func() bool {
		for _, list := range []string{"pending", "active"} {
			if n, err := client.LLen(x.t.Context(), "asynq:{poller:0}:"+list).Result(); err != nil || n > 0 {
				return false
			}
		}
		return x.consumers.sum("pollux_polls_in_flight") == 0
	})
	for _, result := range []string{"up", "partial"} {
		polls += x.consumers.sum("pollux_polls_total", `result="`+result+`"`)
	}
	return polls
}

// stalled is how long after a moment the next entry came into the log.
func held(entries []entry, after time.Time) time.Duration {
	for _, e := range entries {
		if e.at.After(after.Add(time.Second)) { // what was on its way at the moment may have come a little later
			return e.at.Sub(after)
		}
	}
	return time.Since(after)
}

// stalled is how long a busy machine holds up all polls now and then.
const stalled = 3 * time.Second

// askedAgain is when, after a moment, the longest time without a read of a
// device ended: the first read, unless there was a pause after it that no busy machine explains.
func askedAgain(reads [][]time.Time, after time.Time) time.Duration {
	all := slices.SortedFunc(slices.Values(slices.Concat(reads...)), time.Time.Compare)
	all = slices.DeleteFunc(all, func(at time.Time) bool { return at.Before(after) || at.After(after.Add(time.Minute)) })
	if len(all) == 0 {
		return time.Minute
	}
	ended, pause := all[0].Sub(after), max(stalled, all[0].Sub(after))
	for i, at := range all[1:] {
		if gap := at.Sub(all[i]); gap > pause {
			pause, ended = gap, at.Sub(after)
		}
	}
	return ended
}

// longest is the longest time between two entries of the log.
func longest(entries []entry) (gap time.Duration) {
	for i := 1; i < len(entries); i++ {
		gap = max(gap, entries[i].at.Sub(entries[i-1].at))
	}
	return gap
}

// waitForQueues waits until no task is stuck: tasks whose acknowledgement was
// lost run again when their lease of 30 s has been over for up to a minute.
func waitForQueues(t testing.TB, client cluster.Client) {
	t.Helper()
	began := time.Now()
	untilEvery(t, time.Second, 10*time.Minute, "no task is stuck", func() bool { return len(stuck(t, client)) == 0 })
	t.Logf("no task was stuck any more after %v", time.Since(began).Round(time.Second))
}

// stuck are the tasks of the queue that nobody works on: those that wait for
// another try, failed for good, or are active without a lease that lasts.
func stuck(t testing.TB, client cluster.Client) (ids []string) {
	const queue = "asynq:{poller:0}:"
	ids = append(client.ZRange(t.Context(), queue+"retry", 0, -1).Val(), client.ZRange(t.Context(), queue+"archived", 0, -1).Val()...)
	active, err := client.LRange(t.Context(), queue+"active", 0, -1).Result()
	if err != nil {
		return []string{err.Error()}
	}
	for _, id := range active {
		ends, err := client.ZScore(t.Context(), queue+"lease", id).Result()
		if client.LPos(t.Context(), queue+"active", id, redis.LPosArgs{}).Err() != nil {
			continue // it is done
		}
		if err != nil || int64(ends) < time.Now().Unix() {
			ids = append(ids, id)
		}
	}
	return ids
}

// checkLeases fails the test when asynq's keys hold an active task although no consumer runs.
func checkLeases(t testing.TB, client cluster.Client) {
	t.Helper()
	active, leases := client.LLen(t.Context(), "asynq:{poller:0}:active").Val(), client.ZCard(t.Context(), "asynq:{poller:0}:lease").Val()
	if active != 0 || leases != 0 {
		t.Errorf("without a consumer %d tasks are active and %d have a lease", active, leases)
	}
}

// TestFaultSentinelKill kills the master under load and starts it again 25 s
// later, when it becomes a replica.
func TestFaultSentinelKill(t *testing.T) {
	t.Parallel()
	watched := polluxtest.Sentinels(t, polluxtest.SentinelOptions{})
	x := beforeTheFault(t, polluxtest.MariaDB(t), watched.Config(), watched.Nodes...)
	faulted := time.Now()
	old := watched.KillMaster()
	x.failover(watched, old, faulted)
	pass(t, "the master was away for long enough", faulted.Add(25*time.Second))
	old.Start()
	watched.Complete(2 * time.Minute)
	x.polledAgain(3)
	x.after(faulted, resumed, 1)
}

// TestFaultSentinelHang freezes the master for 25 s. When it goes on it still
// takes itself for the master, refuses writes because no replica follows it, and becomes a replica.
func TestFaultSentinelHang(t *testing.T) {
	t.Parallel()
	watched := polluxtest.Sentinels(t, polluxtest.SentinelOptions{WatcherUser: "watcher", TLS: true})
	x := beforeTheFault(t, polluxtest.PostgreSQL(t), watched.Config(), watched.Nodes...)
	faulted := time.Now()
	old := watched.PauseMaster()
	x.failover(watched, old, faulted)
	pass(t, "the master was frozen for long enough", faulted.Add(25*time.Second))
	old.Resume()
	refusals := 0
	untilEvery(t, 50*time.Millisecond, time.Minute, "the old master is a replica", func() bool {
		_, err := old.Ask("SET", "pollux:probe", "x")
		switch {
		case err == nil:
			t.Error("the old master takes a write")
		case strings.HasPrefix(err.Error(), "NOREPLICAS"), strings.HasPrefix(err.Error(), "READONLY"):
			refusals++
		default:
			t.Logf("the old master says %v", err)
		}
		return old.InfoField("role") == "slave"
	})
	t.Logf("the old master refused %d writes and became a replica %v after it went on", refusals, time.Since(faulted.Add(25*time.Second)).Round(100*time.Millisecond))
	watched.Complete(2 * time.Minute)
	x.polledAgain(3)
	x.after(faulted, resumed, 1)
}

// failover waits until another server is the master and notes how long that took.
func (x *redisFault) failover(watched *polluxtest.Failover, old *polluxtest.Server, faulted time.Time) {
	x.t.Helper()
	watched.Successor(old, time.Minute)
	took := time.Since(faulted)
	x.t.Logf("another server was the master %v after the fault", took.Round(10*time.Millisecond))
	x.late = append(x.late, span{faulted, faulted.Add(took + 20*time.Second)})
}
