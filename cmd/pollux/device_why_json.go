package main

import (
	"maps"
	"slices"
	"time"

	"pollux/cluster"
	"pollux/device"
	"pollux/producer"
)

// whyJSON is all that says why a device is or is not polled.
type whyJSON struct {
	Verdict   verdictJSON     `json:"verdict"`
	Now       *string         `json:"now"`
	Device    deviceJSON      `json:"device"`
	GroupName string          `json:"poller_group_name,omitempty"`
	Groups    bool            `json:"distributed_poller"`
	SlotFrom  *string         `json:"slot_from"`
	Slot      *string         `json:"slot"`
	SlotEnd   *string         `json:"slot_end"`
	NextSlot  *string         `json:"next_slot"`
	Last      *lastJSON       `json:"last_finished"`
	Unpolled  int64           `json:"unpolled_seconds"`
	Intervals float64         `json:"unpolled_intervals"`
	DownSince *string         `json:"down_since"`
	Redis     *redisFactsJSON `json:"redis"`
	Billing   *billingJSON    `json:"billing"` // null when none of its ports is billed
	Missing   []missingJSON   `json:"unavailable"`
	Events    []eventJSON     `json:"events"`
}

// missingJSON is a server that does not answer.
type missingJSON struct {
	Server string `json:"server"` // redis, journal, or rrdcached and its address
	Error  string `json:"error"`
}

type verdictJSON struct {
	Code   string `json:"code"`
	Polled bool   `json:"polled"`
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
}

type lastJSON struct {
	Slot     *string `json:"slot"`
	Before   *string `json:"before"`
	Outcome  string  `json:"outcome"`
	SampleAt *string `json:"sample_at"`
}

// redisFactsJSON is what Redis knows; null when it does not answer.
type redisFactsJSON struct {
	Leader      *holderJSON `json:"leader"`
	LeaderSince *string     `json:"leader_since"`
	Queue       queueJSON   `json:"queue"`
	Task        taskJSON    `json:"task"`
	Lease       *holderJSON `json:"lease"`
	LeaseLapses float64     `json:"lease_lapses_seconds"`
	Used        int64       `json:"used_memory"`
	Limit       int64       `json:"maxmemory"`
}

type holderJSON struct {
	Name  string `json:"name"`
	Place string `json:"place,omitempty"`
}

type taskJSON struct {
	State     string  `json:"state"`
	Retried   int     `json:"retried"`
	LastError string  `json:"last_error,omitempty"`
	NextAt    *string `json:"next_at"`
	Place     string  `json:"place,omitempty"`
}

type eventJSON struct {
	Time     *string `json:"time"`
	Type     string  `json:"type"`
	Severity string  `json:"severity"`
	Message  string  `json:"message"`
	Node     string  `json:"node,omitempty"`
	Actor    string  `json:"actor,omitempty"`
}

func shownWhy(f producer.Facts, v producer.Verdict) whyJSON {
	shown := whyJSON{
		Verdict: verdictJSON{v.Code, v.Polled, v.Text, v.Advice}, Now: rfc3339(f.Now), Device: toJSON(f.Device, nil), GroupName: f.GroupName, Groups: f.Distributed,
		SlotFrom: second(f.Device.SlotFrom), Slot: second(f.Slot), NextSlot: second(f.Next), Unpolled: int64(f.Unpolled.For / time.Second),
		Intervals: f.Unpolled.Intervals(), DownSince: rfc3339(f.DownSince), Missing: []missingJSON{}, Events: []eventJSON{},
	}
	if f.Slot > 0 {
		shown.SlotEnd = second(f.SlotEnd())
	}
	if f.Last.Slot > 0 {
		shown.Last = &lastJSON{second(f.Last.Slot), second(f.Last.Before[0]), string(f.Last.Outcome), rfc3339(f.Last.SampleAt)}
	}
	if f.Redis == nil {
		shown.Redis = shownRedis(f)
	}
	shown.Billing = shownBilling(f)
	missing := outsideErrors(f)
	for _, server := range slices.Sorted(maps.Keys(missing)) {
		shown.Missing = append(shown.Missing, missingJSON{server, oneLine(missing[server].Error())})
	}
	for _, e := range f.Events {
		shown.Events = append(shown.Events, shownEvent(e))
	}
	return shown
}

// outsideErrors are what does not answer, by its name.
func outsideErrors(f producer.Facts) map[string]error {
	found := map[string]error{}
	for name, err := range map[string]error{"redis": f.Redis, "journal": f.Journal} {
		if err != nil {
			found[name] = err
		}
	}
	for target, err := range f.RRDCached {
		if err != nil {
			found["rrdcached "+target] = err
		}
	}
	return found
}

func shownRedis(f producer.Facts) *redisFactsJSON {
	return &redisFactsJSON{
		Leader: shownHolder(f.Leader), LeaderSince: rfc3339(f.LeaderSince), Queue: shownQueue(f.Queue),
		Task:  taskJSON{orDefault(f.Task.State, "none"), f.Task.Retried, f.Task.LastError, rfc3339(f.Task.NextAt), f.Task.Place},
		Lease: shownHolder(f.Lease), LeaseLapses: f.Lapse.Seconds(), Used: f.Memory.Used, Limit: f.Memory.Limit,
	}
}

func shownHolder(h cluster.Holder) *holderJSON {
	if h.Token == "" {
		return nil
	}
	return &holderJSON{h.Name, h.Place}
}

func shownEvent(e device.Event) eventJSON {
	return eventJSON{rfc3339(e.Time), e.Type, string(e.Severity), e.Message, e.Node, e.Actor}
}

// second is a Unix second as JSON has times, null for none.
func second(at int64) *string {
	if at <= 0 {
		return nil
	}
	return rfc3339(time.Unix(at, 0))
}
