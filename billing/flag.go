package billing

import (
	"fmt"
	"strings"
)

// Flag says what is special about a sample; several can be set.
type Flag uint16

// What a sample can be flagged with. None of them makes a total fall, and none
// adds bytes that were not counted by the device. Joined is never kept with a
// sample: it says how a bill counts it.
const (
	First         Flag = 1 << iota // no reading before: counts nothing
	Spread                         // slots were missed before: the bytes are exact, their rate is the average over those slots
	Wrap                           // a counter passed its highest value: exact
	Reboot                         // the device started since: what it carried before that is not known, except that it counted on
	Discontinuity                  // ifCounterDiscontinuityTime changed, or counters of another width: as Reboot
	Reindexed                      // the port has another ifIndex than at the reading before: exact, since its name was checked both times
	Ambiguous                      // a 32-bit counter may have passed 0 more often than it shows: the least that it can have been; or a counter fell, and may have begun at 0 anew: nothing
	Implausible                    // more than the port's speed allows: that direction counts nothing, the other the least that it can have been
	Clock                          // the cluster's clock and the device's disagree: exact bytes, the rate by the device's clock, or by ours where that leapt by more than a week
	Joined                         // the port came to the bill after the reading before: only the share of the slots since counts, as if all slots had carried alike
)

// flagNames are in the order of the bits.
var flagNames = []string{"first", "spread", "wrap", "reboot", "discontinuity", "reindexed", "ambiguous", "implausible", "clock", "joined"}

// unsure are the flags of samples whose bytes may not be all that the port carried.
const unsure = First | Reboot | Discontinuity | Ambiguous | Implausible | Joined

// Exact says that the sample's bytes are all that the port carried since the reading before.
func (f Flag) Exact() bool { return f&unsure == 0 }

// String names the flags, joined by "+"; "ok" for none.
func (f Flag) String() string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if rest := f >> len(flagNames); rest != 0 {
		names = append(names, fmt.Sprintf("unknown(%d)", rest<<len(flagNames)))
	}
	if names == nil {
		return "ok"
	}
	return strings.Join(names, "+")
}

// Worst is the name of the most serious flag, for a metric with few results; "ok" for none.
func (f Flag) Worst() string {
	for _, flag := range []Flag{Implausible, Ambiguous, Discontinuity, Reboot, Reindexed, Clock, First, Joined, Wrap, Spread} {
		if f&flag != 0 {
			return flag.String()
		}
	}
	return Flag(0).String()
}

// FlagNames are the names of the flags that samples are kept with, and "ok".
func FlagNames() []string { return append([]string{"ok"}, flagNames[:len(flagNames)-1]...) } // without joined
