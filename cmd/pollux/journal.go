package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/journal"
	"pollux/producer"
	"pollux/rrdcached"
	"pollux/settings"
	"pollux/store"
)

func (p *program) journalCommand() *cobra.Command {
	command := &cobra.Command{Use: "journal", Short: "Look at the measurements on their way to RRDCached", Args: words(0), RunE: help}
	command.AddCommand(
		p.jsonFlag(&cobra.Command{
			Use: "status", Short: "Show how long the journal is, and how far each RRDCached has taken it in", Args: words(0),
			RunE: do(func(command *cobra.Command, _ []string) error { return p.journalStatus(command.Context()) }),
		}),
		p.journalForgetCommand(),
	)
	return command
}

// journalJSON is the journal of one shard in JSON.
type journalJSON struct {
	Shard   int          `json:"shard"`
	InForce bool         `json:"in_force"` // false for one that is not in rrd.shards any more, and has targets still
	Entries int64        `json:"entries"`
	Bytes   int64        `json:"bytes"`
	Limit   int64        `json:"limit_bytes"`
	Oldest  float64      `json:"oldest_seconds"`
	Window  float64      `json:"window_seconds"`
	Room    float64      `json:"room_seconds"` // until it is cut, as entries come now; 0 while not known
	Lost    int64        `json:"cut_lost"`
	AtRisk  int64        `json:"cut_acked"`
	Targets []targetJSON `json:"targets"`
}

// targetJSON is one RRDCached in JSON.
type targetJSON struct {
	ID        string   `json:"target"`
	Address   string   `json:"address"`     // "" for one that no RRDCACHED of this node leads to
	Lag       *float64 `json:"lag_seconds"` // null, like the next, for one that has no place in the journal, or does not answer
	Unwritten *float64 `json:"unwritten_seconds"`
	Recorder  string   `json:"recorder"` // NODE_ID, "" for none
	Note      string   `json:"note,omitempty"`

	WriteOut *writeOutJSON `json:"write_out,omitempty"`
}

func (p *program) journalStatus(ctx context.Context) error {
	return p.withDesk(ctx, func(n *node, _ *producer.Desk) error {
		all, err := n.journals(ctx)
		if err != nil {
			return err
		}
		if p.asJSON {
			return p.printJSON(items[journalJSON]{Items: all})
		}
		for i, shown := range all {
			if len(all) > 1 {
				fmt.Fprintf(p.out, "%sshard    %d%s\n", strings.Repeat("\n", min(i, 1)), shown.Shard, unless(shown.InForce, ", which is not in "+settings.KeyRRDShards))
			}
			if err := p.printJournal(shown); err != nil {
				return err
			}
		}
		return nil
	})
}

// journals are the logs of the shards in force, and of those that were taken out while a target of theirs was not forgotten.
func (n *node) journals(ctx context.Context) ([]journalJSON, error) {
	inForce := store.ShardNumbers(n.settings.Values().Shards())
	owners, err := n.shards.Owners(ctx)
	if err != nil {
		return nil, err
	}
	shards := slices.Concat(inForce, slices.Collect(maps.Values(owners)))
	slices.Sort(shards)
	all := []journalJSON{}
	for _, number := range slices.Compact(shards) {
		status, err := n.shards.Shard(number).Status(ctx)
		if err != nil {
			return nil, err
		}
		limit := status.Limit / int64(len(inForce))
		shown := journalJSON{
			Shard: number, InForce: slices.Contains(inForce, number), Entries: status.Entries, Bytes: status.Bytes, Limit: limit,
			Oldest: status.Oldest.Seconds(), Lost: status.Lost, AtRisk: status.AtRisk, Window: n.settings.Values().Seconds(settings.KeyRRDFlushWindow).Seconds(),
			Room: journal.Room(status.Oldest, status.Bytes, limit).Seconds(), Targets: n.targets(ctx, status, n.addresses(number)),
		}
		if !shown.InForce {
			shown.Targets = append(shown.Targets, unwritten(shown, owners)...)
		}
		all = append(all, shown)
	}
	return all, nil
}

// unwritten are the targets of a shard that a recorder reached, and never wrote to.
func unwritten(shown journalJSON, owners map[string]int) (targets []targetJSON) {
	for _, id := range slices.Sorted(maps.Keys(owners)) {
		if owners[id] == shown.Shard && !slices.ContainsFunc(shown.Targets, func(t targetJSON) bool { return t.ID == id }) {
			targets = append(targets, targetJSON{ID: id, Note: forgetNote + id})
		}
	}
	return targets
}

// forgetNote is followed by the id of a target.
const forgetNote = "not in RRDCACHED or rrd.shards; if no node feeds it any more: pollux journal forget "

// unless is text, or nothing where a condition holds.
func unless(condition bool, text string) string {
	if condition {
		return ""
	}
	return text
}

// addresses are the RRDCached of a shard.
func (n *node) addresses(shard int) []string { return addressesOf(n.posts(), shard) }

func addressesOf(posts []journal.Post, shard int) (all []string) {
	for _, post := range posts {
		if post.Shard == shard {
			all = append(all, post.Target)
		}
	}
	return all
}

// targets are those that have a cursor, and those of the shard's addresses that have none yet.
func (n *node) targets(ctx context.Context, status journal.Status, addresses []string) []targetJSON {
	ids, notes := map[string]string{}, map[string]string{}
	for _, address := range addresses {
		id, err := n.identify(ctx, address)
		if err != nil {
			notes[address] = plain(err.Error())
		}
		ids[address] = id
	}
	shown := []targetJSON{}
	for _, t := range status.Targets {
		lag, unwritten := t.Lag.Seconds(), t.Unwritten.Seconds()
		one := targetJSON{ID: t.ID, Lag: &lag, Unwritten: &unwritten, Recorder: cluster.ParseHolder(t.Recorder).Name, WriteOut: newWriteOutJSON(t.WriteOut)}
		for address, id := range ids {
			if id == t.ID {
				one.Address = address
			}
		}
		switch {
		case one.Address == "" && len(notes) == 0:
			one.Note = forgetNote + t.ID
		case one.Address == "":
			one.Note = "not in RRDCACHED or rrd.shards, or one of those that do not answer"
		case one.Recorder == "":
			one.Note = "no node records: is a consumer running?"
		}
		shown = append(shown, one)
	}
	for _, address := range addresses {
		known := slices.ContainsFunc(shown, func(t targetJSON) bool { return t.Address == address })
		if note := notes[address]; note != "" {
			shown = append(shown, targetJSON{Address: address, Note: note})
		} else if !known {
			shown = append(shown, targetJSON{ID: ids[address], Address: address, Note: "nothing was recorded there yet"})
		}
	}
	return shown
}

// identify asks an RRDCached for its id, "" for one without, and changes nothing there.
func (n *node) identify(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	client, err := rrdcached.Dial(ctx, address)
	if err != nil {
		return "", err
	}
	defer client.Close()
	id, err := journal.ReadIdentity(ctx, client, n.cluster)
	if errors.Is(err, rrdcached.ErrNoFile) {
		return "", nil
	}
	return id, err
}

func (p *program) printJournal(shown journalJSON) error {
	for _, line := range [][2]string{
		{"entries", fmt.Sprintf("%d, the oldest is %s old", shown.Entries, orDefault(waited(time.Duration(shown.Oldest*float64(time.Second))), "0s"))},
		{"memory", fmt.Sprintf("%s of %s at most", mebibytes(shown.Bytes), mebibytes(shown.Limit))},
		{"room", shown.room()},
		{"window", (time.Duration(shown.Window) * time.Second).String() + ", for which RRDCached may hold what it was sent"},
		{"cut", fmt.Sprintf("%d lost, %d acknowledged but not known to be on disk", shown.Lost, shown.AtRisk)},
	} {
		fmt.Fprintf(p.out, "%-8s %s\n", line[0], line[1])
	}
	fmt.Fprintln(p.out)
	var rows [][]string
	for _, t := range shown.Targets {
		rows = append(rows, []string{
			t.Address, t.ID, known(t.Lag), known(t.Unwritten), t.WriteOut.String(), t.Recorder, t.Note,
		})
	}
	return p.printTable([]string{"RRDCACHED", "TARGET", "LAG", "UNWRITTEN", "WRITE-OUT", "RECORDER", "NOTE"}, rows)
}

// room says how far the log is from being cut.
func (j journalJSON) room() string {
	room := time.Duration(j.Room * float64(time.Second))
	switch {
	case room == 0:
		return "not known yet: the oldest entry must be 5 minutes old"
	case j.InForce && journal.Tight(room, time.Duration(j.Window)*time.Second+time.Minute):
		return "for " + waited(room) + " as entries come now, which is less than 1.5 windows: give Redis more memory"
	default:
		return "for " + waited(room) + " as entries come now"
	}
}

func mebibytes(bytes int64) string {
	return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 1, 64) + " MiB"
}

// seconds is a length of time for people.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

// known is seconds, "-" where nothing is known.
func known(s *float64) string {
	if s == nil {
		return "-"
	}
	return seconds(*s)
}
