package producer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pollux/device"
	"pollux/tasks"
)

// Why a device is or is not polled: the code of a Verdict.
const (
	WhyUp          = "polled"       // it is polled, and answers
	WhyPartial     = "partial"      // it is polled, and answers in part
	WhyDown        = "down"         // it is asked, and does not answer
	WhyAuth        = "auth"         // it is asked, and refuses the credentials
	WhyRRDCached   = "rrdcached"    // it is polled, but an RRDCached does not answer
	WhyPolling     = "polling"      // it is being polled now
	WhyDisabled    = "disabled"     // nobody wants it polled
	WhyRedis       = "redis"        // Redis does not answer
	WhyJournal     = "journal"      // the journal's Redis does not answer
	WhyNoGroup     = "no_group"     // its poller group does not exist
	WhyNoLeader    = "no_leader"    // no producer leads
	WhyNoNode      = "no_node"      // no live node serves its poller group
	WhyDrained     = "drained"      // every node that serves its poller group is drained
	WhySkewed      = "skewed"       // the clock of every node that serves its poller group differs too much
	WhyPaused      = "paused"       // the queue of its poller group is paused
	WhyMemory      = "memory"       // Redis is nearly full, so that no slots are offered
	WhyStartsLater = "starts_later" // its first slot has not begun, or has just been offered
	WhyLease       = "lease"        // another poll of it holds its lease
	WhyQueueFull   = "queue_full"   // too many tasks wait, so that its slots are skipped
	WhyBacklog     = "backlog"      // its task waits behind others
	WhyHandedBack  = "handed_back"  // its task waits to be taken again
	WhyCredentials = "credentials"  // its stored credentials do not open
	WhyFailed      = "failed"       // its task failed
	WhyUnfinished  = "unfinished"   // its task ended, but its slot was not finished
	WhyNotOffered  = "not_offered"  // there is no task of its present slot
)

// Verdict says in plain words why a device was or was not polled.
type Verdict struct {
	Code   string
	Polled bool   // it is polled as it should be, whatever it answers
	Text   string // what is so
	Advice string // what to do, "" for nothing
}

// Explain judges facts. The first reason counts that keeps the device from
// being polled in its slots to come; without one, how its last slot ended;
// without a slot that is recent enough, how far its present one has come.
func Explain(f Facts) Verdict {
	for _, judge := range []func(Facts) *Verdict{
		whyDisabled, whyRedis, whyGroup, whyLeader, whyNodes, whyPaused, whyMemory, whyJournal, whyLater, whyRecent,
		whyLease, whyPolling, whyCredentials, whyQueueFull, whyWaiting, whyEnded,
	} {
		if verdict := judge(f); verdict != nil {
			return *verdict
		}
	}
	return Verdict{
		Code:   WhyNotOffered,
		Text:   fmt.Sprintf("not polled: %s, and there is no task of its present slot, which began %s ago", f.unpolledText(), f.since(time.Unix(f.Slot, 0))),
		Advice: "look at the log of the leading producer, " + f.Leader.Name + ": it may not reach the database",
	}
}

// notPolled is the verdict of what keeps a device from being polled.
func (f Facts) notPolled(code, why, advice string) *Verdict {
	text := "not polled: " + why
	if f.Last.Slot > 0 {
		text += " (last polled " + f.since(f.lastPoll()) + " ago)"
	}
	return &Verdict{Code: code, Text: text, Advice: advice}
}

func whyDisabled(f Facts) *Verdict {
	if !f.Device.Disabled {
		return nil
	}
	return f.notPolled(WhyDisabled, "the device is disabled", "pollux device set "+f.Device.Hostname+" --enable")
}

func whyRedis(f Facts) *Verdict {
	if f.Redis == nil {
		return nil
	}
	return f.notPolled(WhyRedis, "Redis does not answer: "+f.Redis.Error(), "pollux doctor")
}

func whyGroup(f Facts) *Verdict {
	if f.GroupExists {
		return nil
	}
	return f.notPolled(WhyNoGroup, f.group()+" does not exist", "pollux device set "+f.Device.Hostname+" --group 0")
}

func whyLeader(f Facts) *Verdict {
	if f.Leader.Token != "" {
		return nil
	}
	return f.notPolled(WhyNoLeader, "no producer leads, so that no slots are offered", "start: pollux producer; one that runs says in its log why it does not lead")
}

func whyNodes(f Facts) *Verdict {
	switch {
	case len(f.Queue.Nodes) > 0:
		return nil
	case len(f.Queue.Drained) > 0:
		return f.notPolled(WhyDrained, "every live node that serves "+f.group()+" is drained ("+some(f.Queue.Drained)+")", "pollux node undrain "+f.Queue.Drained[0])
	case len(f.Queue.Skewed) > 0:
		return f.notPolled(WhySkewed, "the clock of every live node that serves "+f.group()+" differs from that of Redis by more than 5 s ("+some(f.Queue.Skewed)+")", "synchronise the clocks of these machines; pollux doctor")
	case f.Distributed:
		return f.notPolled(WhyNoNode, "no live node serves "+f.group(), "start a consumer of the group, assign one to it, or move the device: pollux node list")
	default:
		return f.notPolled(WhyNoNode, "no consumer lives", "start: pollux consumer")
	}
}

func whyPaused(f Facts) *Verdict {
	if !f.Queue.Paused {
		return nil
	}
	text := "the queue " + f.Queue.Name + " is paused"
	if !f.Queue.PausedSince.IsZero() {
		text += " since " + clock(f.Queue.PausedSince)
	}
	return f.notPolled(WhyPaused, text, "pollux queue resume "+f.Queue.Name)
}

func whyMemory(f Facts) *Verdict {
	if !f.Memory.Full() {
		return nil
	}
	return f.notPolled(WhyMemory, fmt.Sprintf("Redis uses %d of %d MiB of its memory, and from %d %% on no slots are offered",
		f.Memory.Used>>20, f.Memory.Limit>>20, fullShare), "give Redis more memory (maxmemory), or find out what fills it: pollux_journal_bytes, pollux_queue_tasks")
}

func whyJournal(f Facts) *Verdict {
	if f.Journal == nil {
		return nil
	}
	return f.notPolled(WhyJournal, "the journal's Redis does not answer, so that no poll can be finished: "+f.Journal.Error(), "pollux doctor")
}

// whyLater is for a device that cannot have been polled yet.
func whyLater(f Facts) *Verdict {
	d := f.Device
	switch {
	case f.Slot == 0:
		return &Verdict{
			Code: WhyStartsLater, Polled: f.Last.Slot > 0,
			Text: fmt.Sprintf("its interval was changed: its first slot of %d s begins at %s, in %s", d.Interval, clock(time.Unix(f.Next, 0)), f.until(f.Next)),
		}
	case f.Last.Slot == 0 && !f.Unpolled.Late() && f.Lease.Token == "" && f.Task.waits():
		return &Verdict{
			Code: WhyStartsLater,
			Text: fmt.Sprintf("it was added %s ago and is polled within seconds, or in the slot that begins at %s, in %s",
				f.since(d.CreatedAt), clock(time.Unix(f.Next, 0)), f.until(f.Next)),
		}
	}
	return nil
}

// whyRecent is for a device whose last finished slot is as recent as it should be.
func whyRecent(f Facts) *Verdict {
	if f.Last.Slot == 0 || f.Unpolled.Late() {
		return nil
	}
	d, when := f.Device, "polled "+f.since(f.lastPoll())+" ago"
	switch f.Last.Outcome {
	case device.OutcomeDown:
		text := when + ", and it does not answer"
		if !f.DownSince.IsZero() {
			text += ", since " + f.DownSince.UTC().Format(time.DateTime) + " UTC"
		}
		return &Verdict{
			Code: WhyDown, Polled: true, Text: text + reason(d) + "; it is probed once per slot, and polled whole as soon as it answers",
			Advice: "pollux device poll " + d.Hostname + " -v; check its address, its community and the way to it",
		}
	case device.OutcomeAuth:
		return &Verdict{
			Code: WhyAuth, Polled: true, Text: when + ", and it refuses the credentials" + reason(d),
			Advice: "correct user, keys and protocols: pollux device set " + d.Hostname,
		}
	case device.OutcomePartial:
		return &Verdict{
			Code: WhyPartial, Polled: true, Text: when + ", and it answers in part" + reason(d),
			Advice: "pollux device poll " + d.Hostname + " -v shows which module failed",
		}
	}
	for _, address := range slices.Sorted(maps.Keys(f.RRDCached)) {
		if err := f.RRDCached[address]; err != nil {
			return &Verdict{
				Code: WhyRRDCached, Polled: true, Text: fmt.Sprintf("%s, but RRDCached %s does not answer: the journal keeps the measurements (%v)", when, address, err),
				Advice: "start rrdcached, or correct RRDCACHED; what the journal keeps is recorded then",
			}
		}
	}
	return &Verdict{Code: WhyUp, Polled: true, Text: fmt.Sprintf("%s, and it answers; the next slot begins in %s", when, f.until(f.Next))}
}

func whyLease(f Facts) *Verdict {
	ours := f.Task.State == "active" && (f.Task.Place == "" || f.Task.Place == f.Lease.Place)
	if f.Lease.Token == "" || ours {
		return nil
	}
	return f.notPolled(WhyLease, fmt.Sprintf("another poll of it holds its lease: that of %s (%s), which lapses in %s unless it is renewed",
		f.Lease.Name, f.Lease.Place, f.Lapse.Round(time.Second)), "wait for that poll, which ends with its slot; a lease that nobody renews lapses by itself")
}

func whyPolling(f Facts) *Verdict {
	if f.Task.State != "active" {
		return nil
	}
	text := "it is being polled now"
	if f.Lease.Name != "" {
		text += " by " + f.Lease.Name
	}
	return &Verdict{Code: WhyPolling, Text: text + ", in the slot that began " + f.since(time.Unix(f.Slot, 0)) + " ago; " + f.unpolledText()}
}

// whyCredentials is for a task that a node took, and could not carry out
// because the device's credentials are sealed with a key that it does not have.
func whyCredentials(f Facts) *Verdict {
	if !strings.Contains(f.Task.LastError, tasks.CredentialsDoNotOpen) {
		return nil
	}
	return f.notPolled(WhyCredentials, "its stored credentials do not open with the key of a node that took its task",
		"set them anew: pollux device set "+f.Device.Hostname+", or give the nodes the key that they were stored with in APP_PREVIOUS_KEYS; see: pollux doctor")
}

func whyQueueFull(f Facts) *Verdict {
	limit := fullFactor * max(f.Queue.Devices, 1)
	if f.Queue.Pending < limit || f.Task.State != "" {
		return nil
	}
	return f.notPolled(WhyQueueFull, fmt.Sprintf("the queue %s is full: %d tasks wait for %s of its group, and from %d on slots are skipped",
		f.Queue.Name, f.Queue.Pending, count(f.Queue.Devices, "device"), limit), moreWorkers)
}

const moreWorkers = "add workers (service_poller_workers) or nodes to the group: pollux node list"

// whyWaiting is for a task that waits in the queue.
func whyWaiting(f Facts) *Verdict {
	switch f.Task.State {
	case "pending":
		return f.notPolled(WhyBacklog, fmt.Sprintf("its task waits in %s behind others: %s, the oldest for %s, while %s of %s run",
			f.Queue.Name, count(f.Queue.Pending, "task"), f.Queue.Latency.Round(time.Second), count(f.Queue.Active, "task"), count(len(f.Queue.Nodes), "node")), moreWorkers)
	case "retry", "scheduled":
		text := "its task was handed back and is taken again at " + clock(f.Task.NextAt)
		if f.Task.LastError != "" {
			text += ": " + f.Task.LastError
		}
		return f.notPolled(WhyHandedBack, text, "nothing, unless it stays so: a device that was down waits for one of the few workers that probe such devices")
	}
	return nil
}

// whyEnded is for a task that is over although its slot was not finished.
func whyEnded(f Facts) *Verdict {
	switch f.Task.State {
	case "archived":
		return f.notPolled(WhyFailed, fmt.Sprintf("the task of its present slot failed: %s", f.Task.LastError), "the log of the consumers says more; the next slot has a new task")
	case "completed":
		return f.notPolled(WhyUnfinished, "the task of its present slot ended without a poll", "pollux_polls_skipped_total of the consumers says why slots are skipped")
	}
	return nil
}

// lastPoll is when the device was polled last, as far as it is known: the
// sample, else what the inventory says of that slot (a device may give no sample), else the slot.
func (f Facts) lastPoll() time.Time {
	slot := time.Unix(f.Last.Slot, 0)
	switch d := f.Device; {
	case f.Last.SampleAt.After(slot):
		return f.Last.SampleAt
	case d.PolledSlot == f.Last.Slot && d.PolledAt.After(slot):
		return d.PolledAt
	default:
		return slot
	}
}

func (f Facts) unpolledText() string {
	if f.Last.Slot == 0 {
		return "it was never polled"
	}
	return fmt.Sprintf("its last poll was %s ago, %.1f intervals", f.since(f.lastPoll()), f.Unpolled.Intervals())
}

func (f Facts) group() string {
	return groupName(f.Device.Group, map[int64]string{f.Device.Group: f.GroupName})
}

func (f Facts) since(t time.Time) string { return max(f.Now.Sub(t), 0).Round(time.Second).String() }

func (f Facts) until(second int64) string {
	return max(time.Unix(second, 0).Sub(f.Now), 0).Round(time.Second).String()
}

// reason is what the last poll said of the device, for the end of a text.
func reason(d device.Device) string {
	if text := strings.TrimSpace(d.StatusReason); text != "" {
		return ": " + text
	}
	return ""
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) + " UTC" }
