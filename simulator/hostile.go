package simulator

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The scripts of hostile and sick devices, as Config.Hostile names them. One
// script is one case; all of them are seen in the wild or were found by fuzzing.
const (
	// Honest stands for a device without a script, so that a list can mix both.
	Honest = "honest"
	// All stands for every script, in the order of HostileNames.
	All = "all"

	EndlessTable   = "endless-table"    // no column of ifTable and ifXTable ends
	MillionRows    = "million-rows"     // ifTable and ifXTable have 1,000,000 rows
	FallingOIDs    = "falling-oids"     // tables come from their last row to the first
	RepeatedRows   = "repeated-rows"    // each row comes twice, GETNEXT answers with the name asked
	SkippedRows    = "skipped-rows"     // GETBULK leaves out a row at the begin of each reply
	HugeStrings    = "huge-strings"     // each text has 65,000 bytes, control characters among them
	WrongOID       = "wrong-oid"        // values come under names that were not asked for
	WrongCommunity = "wrong-community"  // replies name another community (v1, v2c)
	RequestID0     = "request-id-0"     // replies have the request-id 0
	GenErrMidWalk  = "generr-mid-walk"  // genErr from the third row of a table on
	TooBigPingPong = "toobig-ping-pong" // tooBig for each odd request-id, however little is asked
	CraftedLength  = "crafted-length"   // the first VarBind claims 2^63 - 16 bytes
	V3TimeJump     = "v3-time-jump"     // the engine's time leaps 1,000 s a second, and after discovery
	V3Reboot       = "v3-reboot"        // the engine reboots after each discovery
	V3EngineChange = "v3-engine-change" // each message comes from another engine id
	V3Reports      = "v3-reports"       // v3 requests are answered with Reports, for ever
	TooLate        = "too-late"         // replies come 7 s after their requests, when nobody waits any more
	Slow           = "slow"             // replies take 1.9 s each
	Lossy          = "lossy"            // 30 % of the requests are lost
	BlackHole      = "black-hole"       // nothing is answered
	Mutate         = "mutate"           // half of the replies are damaged at random
)

// What the scripts do, in figures.
const (
	endlessRows   = 1<<32 - 1 // an index has 32 bits
	manyRows      = 1_000_000
	hugeText      = 65_000 // with its headers just below the largest datagram, 65,507
	rowsBefore    = 2      // rows of a table before GenErrMidWalk
	otherName     = "1.3.6.1.4.1.8072.9999.9999"
	otherString   = "another"
	timeJump      = 1000 // seconds; the window is 150
	maxJumps      = 1_000_000
	lateBy        = 7 * time.Second // six tries of 1 s are over by then
	slowBy        = 1900 * time.Millisecond
	lostShare     = 0.3
	mutatedShare  = 0.5
	errGeneric    = 5 // genErr
	maxHostile    = 1000
	maxNameLength = 40
)

// script is how a hostile device differs from an honest one. What is not set is as in an honest one.
type script struct {
	name string
	lies bool          // its counters do not belong into the log of answers
	hold time.Duration // each reply is held back by so much more
	lose float64       // share of requests that are dropped
	// limit is the size of the largest reply in bytes; 0 = Config.MaxMessage.
	limit int
	// objects stand for those of the synthesised device.
	objects func(*layout) tree
	// answer fills in the answer in place of answer.respond.
	answer func(*responder, tree)
	// alter changes the answer that was filled in.
	alter func(*responder)
	// community is named in v1 and v2c replies.
	community string
	// engine changes who the v3 engine says it is, before the request is checked.
	engine func(*responder, *envelope, *seal)
	// judge changes what the check of a v3 request found, and what the reply says of the engine.
	judge func(*responder, *envelope, *seal, int) int
	// mutates says that replies are damaged at random.
	mutates bool
}

// scripts are all of them, in the order in which "all" spreads them.
var scripts = []script{
	{name: EndlessTable, lies: true, objects: func(l *layout) tree { return newTallTree(l, endlessRows) }},
	{name: MillionRows, lies: true, objects: func(l *layout) tree { return newTallTree(l, manyRows) }},
	{name: FallingOIDs, lies: true, answer: (*responder).falling},
	{name: RepeatedRows, lies: true, answer: (*responder).repeated},
	{name: SkippedRows, answer: (*responder).skipped},
	{name: HugeStrings, limit: maxMessage, objects: func(l *layout) tree { return newHugeTree(l) }},
	{name: WrongOID, lies: true, alter: (*responder).rename},
	{name: WrongCommunity, lies: true, community: otherString},
	{name: RequestID0, lies: true, alter: func(r *responder) { r.asked.id = 0 }},
	{name: GenErrMidWalk, answer: (*responder).failing},
	{name: TooBigPingPong, answer: (*responder).pingPong},
	{name: CraftedLength, lies: true, alter: (*responder).craft},
	{name: V3TimeJump, engine: jumping, judge: jumped},
	{name: V3Reboot, engine: rebooted, judge: rebooting},
	{name: V3EngineChange, engine: changing},
	{name: V3Reports, judge: reporting},
	{name: TooLate, hold: lateBy},
	{name: Slow, hold: slowBy},
	{name: Lossy, lose: lostShare},
	{name: BlackHole, lose: 1},
	{name: Mutate, lies: true, mutates: true},
}

// HostileNames are the names of all scripts.
func HostileNames() []string {
	names := make([]string, len(scripts))
	for i := range scripts {
		names[i] = scripts[i].name
	}
	return names
}

// cast says which device plays which script.
type cast struct {
	parts  []part // of the devices in turn; empty = all are honest
	from   int64  // Unix ns before which all are honest
	seed   uint64 // of what is random in a script
	honest script
}

// part is a script with the objects that it needs.
type part struct {
	*script
	objects tree // nil = the honest ones
}

// newCast takes the names of Config.Hostile.
func newCast(c Config, l *layout) (*cast, error) {
	all := &cast{seed: c.HostileSeed}
	if !c.HostileAt.IsZero() {
		all.from = c.HostileAt.UnixNano()
	}
	made := map[string]tree{}
	for _, name := range c.Hostile {
		names := []string{name}
		if name == All {
			names = HostileNames()
		}
		if len(all.parts)+len(names) > maxHostile {
			return nil, fmt.Errorf("more than %d scripts are named", maxHostile)
		}
		for _, name := range names {
			p := part{script: &all.honest}
			if name != Honest {
				i := slices.IndexFunc(scripts, func(s script) bool { return s.name == name })
				if i < 0 {
					return nil, fmt.Errorf("hostile is %q, want %s, %s or some of %s", name[:min(len(name), maxNameLength)], All, Honest, strings.Join(HostileNames(), ", "))
				}
				p.script = &scripts[i]
			}
			if p.script.objects != nil && made[name] == nil {
				made[name] = p.script.objects(l)
			}
			p.objects = made[name]
			all.parts = append(all.parts, p)
		}
	}
	return all, nil
}

// of is what a device plays at a time in Unix ns.
func (c *cast) of(device int, now int64) part {
	if len(c.parts) == 0 || now < c.from {
		return part{script: &c.honest}
	}
	return c.parts[device%len(c.parts)]
}

// holds says whether a reply may be held back.
func (c *cast) holds() bool {
	return slices.ContainsFunc(c.parts, func(p part) bool { return p.hold > 0 })
}
