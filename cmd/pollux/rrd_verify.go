package main

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/producer"
	"pollux/rrd"
)

// maxDifferences is how many files are named in JSON.
const maxDifferences = 10_000

// errDifferent ends a comparison that found differences, or could not see everything.
var errDifferent = errors.New("not equal")

// verifyFlags say what is compared.
type verifyFlags struct {
	from, to, host string
	sample         int
}

func (p *program) rrdVerifyCommand() *cobra.Command {
	var flags verifyFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "verify", Short: "Compare the files that two RRDCached should have alike", Args: words(0),
		Long: `Compares every file of every device in two RRDCached, value by value, while
polling goes on. Without --from and --to each RRDCached of RRDCACHED is compared
with the first one of its shard. The exit code is 0 when all is equal, else 1.`,
		RunE: do(func(command *cobra.Command, _ []string) error { return p.rrdVerify(command.Context(), flags) }),
	})
	command.Flags().StringVar(&flags.from, "from", "", "address of one RRDCached")
	command.Flags().StringVar(&flags.to, "to", "", "address of the other one")
	command.Flags().StringVar(&flags.host, "device", "", "only files of this device, by hostname or id")
	command.Flags().IntVar(&flags.sample, "sample", 0, "only files of so many devices, chosen at random")
	return command
}

// verifyJSON is the comparison of two RRDCached in JSON.
type verifyJSON struct {
	From      string           `json:"from"`
	To        string           `json:"to"`
	Equal     bool             `json:"equal"`
	Devices   int              `json:"devices"`
	Files     int              `json:"files"`
	Absent    int              `json:"absent"`
	Different int              `json:"different"`
	Behind    int              `json:"behind"`
	Rows      int64            `json:"rows"`
	Found     []differenceJSON `json:"differences"`
}

// differenceJSON is one file in JSON.
type differenceJSON struct {
	Device string  `json:"device"`
	File   string  `json:"file"`
	What   string  `json:"what"`
	From   string  `json:"from"`
	To     string  `json:"to"`
	First  *string `json:"first"`
	Rows   int     `json:"rows"`
}

// comparison is two addresses of one shard.
type comparison struct {
	shard    rrdShard
	from, to string
}

func (p *program) rrdVerify(ctx context.Context, flags verifyFlags) error {
	if (flags.from == "") != (flags.to == "") {
		return usagef("--from and --to go together")
	}
	if flags.from != "" {
		if err := checkAddresses(flags.from, flags.to); err != nil {
			return err
		}
	}
	if flags.sample < 0 || flags.sample > 0 && flags.host != "" {
		return usagef("--sample is a number of devices, and does not go with --device")
	}
	return p.withDesk(ctx, func(n *node, _ *producer.Desk) error {
		devices, pairs, err := n.comparisons(ctx, flags)
		if err != nil {
			return err
		}
		list := items[verifyJSON]{Items: []verifyJSON{}}
		different, behind := 0, 0
		for _, c := range pairs {
			of := ofShard(devices, c.shard.number)
			if flags.sample > 0 {
				of = sampled(of, flags.sample)
			}
			shown, err := p.verifyPair(ctx, n, c, of)
			if err != nil {
				return rrdAdvice(err)
			}
			different, behind = different+shown.Different, behind+shown.Behind
			list.Items = append(list.Items, shown)
		}
		if p.asJSON {
			if err := p.printJSON(list); err != nil {
				return err
			}
		}
		switch {
		case different > 0:
			return fmt.Errorf("%w: %d files differ", errDifferent, different)
		case behind > 0:
			return fmt.Errorf("%w: of %d files one RRDCached has not caught up with the journal; see: pollux journal status, and run this again", errDifferent, behind)
		}
		return nil
	})
}

// comparisons are what the flags mean.
func (n *node) comparisons(ctx context.Context, flags verifyFlags) (devices iter.Seq2[device.Device, error], pairs []comparison, err error) {
	devices = eachDevice(ctx, n.store)
	shards := n.rrdShards()
	if flags.host != "" {
		d, err := findDevice(ctx, n.store, flags.host)
		if err != nil {
			return nil, nil, err
		}
		devices = func(yield func(device.Device, error) bool) { yield(d, nil) }
	}
	if flags.from != "" {
		s, err := n.rrdShard(flags.from, flags.to)
		return devices, []comparison{{s, flags.from, flags.to}}, err
	}
	for _, s := range shards {
		for i := 1; i < len(s.addresses); i++ {
			pairs = append(pairs, comparison{s, s.addresses[0], s.addresses[i]})
		}
	}
	if len(pairs) == 0 {
		return nil, nil, usagef("RRDCACHED names fewer than two, so that there is nothing to compare; name two by --from and --to")
	}
	return devices, pairs, nil
}

func (p *program) verifyPair(ctx context.Context, n *node, c comparison, devices iter.Seq2[device.Device, error]) (verifyJSON, error) {
	found := []differenceJSON{}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	result, err := rrd.Verify(ctx, rrd.VerifyConfig{
		Journal: c.shard.journal, ClusterID: n.cluster, From: c.from, To: c.to, Ports: n.store.Ports, Components: n.store.Components,
		Report: func(d rrd.Difference) {
			if !p.asJSON {
				if _, err := fmt.Fprintln(p.out, differenceLine(d, c)); err != nil {
					cancel(err)
				}
			} else if len(found) < maxDifferences {
				found = append(found, differenceJSON{d.Device, d.File, string(d.What), d.From, d.To, rfc3339(d.First), d.Rows})
			}
		},
		Progress: sometimes(func(v rrd.Verified) {
			p.note("%d devices, %d files compared, %d differ", v.Devices, v.Files, v.Different)
		}),
	}, devices)
	if err != nil && errors.Is(context.Cause(ctx), errReaderGone) {
		err = context.Cause(ctx)
	}
	shown := verifyJSON{
		From: c.from, To: c.to, Equal: result.Different+result.Behind == 0, Devices: result.Devices, Files: result.Files, Absent: result.Absent,
		Different: result.Different, Behind: result.Behind, Rows: result.Rows, Found: found,
	}
	if err == nil && !p.asJSON {
		fmt.Fprintf(p.out, "%s and %s: %d of %d files of %d devices differ, %d behind; %d rows compared\n",
			c.from, c.to, result.Different, result.Files, result.Devices, result.Behind, result.Rows)
	}
	return shown, err
}

// differenceLine is a difference for people.
func differenceLine(d rrd.Difference, c comparison) string {
	text := fmt.Sprintf("%s: %s: %s in %s, %s in %s", d.File, d.What, d.From, c.from, d.To, c.to)
	if d.What == rrd.DifferentRows {
		text += fmt.Sprintf("; %d rows, the first at %s", d.Rows, d.First.UTC().Format("2006-01-02T15:04:05Z"))
	}
	return plain(text)
}
