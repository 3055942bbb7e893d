package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"pollux/cluster"
	"pollux/config"
	"pollux/journal"
	"pollux/ping"
	"pollux/rrdcached"
	"pollux/settings"
	"pollux/store"
)

// finding is what the doctor says of one thing.
type finding struct {
	Name   string `json:"name"`
	State  string `json:"status"` // ok, warning or failing
	Detail string `json:"detail,omitempty"`
	err    error
}

const (
	stateFine    = "ok"
	stateWarning = "warning"
	stateFailing = "failing"
)

func (p *program) doctorCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "doctor", Short: "Check everything that Pollux needs, and say what to do", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			return p.doctor(command.Context())
		}),
	})
}

// doctor looks at everything, prints all findings, and fails with the first that fails.
func (p *program) doctor(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cluster.LibraryLog{Log: p.logger("error")}.Install() // what it would print is in the findings
	x := &examination{program: p}
	x.examine(ctx)
	if p.asJSON {
		if err := p.printJSON(items[finding]{Items: x.findings}); err != nil {
			return err
		}
	} else {
		for _, f := range x.findings {
			fmt.Fprintf(p.out, "%-8s %-12s %s\n", f.State, f.Name, f.Detail)
		}
	}
	for _, f := range x.findings {
		if f.State == stateFailing {
			return fmt.Errorf("%s: %w", f.Name, f.err)
		}
	}
	return nil
}

// examination is one run of the doctor.
type examination struct {
	program  *program
	config   config.Config
	cluster  string // id of the cluster in the database
	lived    bool   // a node has run for this cluster
	values   settings.Values
	bills    int64
	findings []finding
}

func (x *examination) fine(name, format string, args ...any) {
	x.findings = append(x.findings, finding{Name: name, State: stateFine, Detail: fmt.Sprintf(format, args...)})
}

func (x *examination) warn(name, format string, args ...any) {
	x.findings = append(x.findings, finding{Name: name, State: stateWarning, Detail: fmt.Sprintf(format, args...)})
}

func (x *examination) fail(name string, err error) {
	x.findings = append(x.findings, finding{Name: name, State: stateFailing, Detail: strings.Join(strings.Fields(err.Error()), " "), err: err})
}

func (x *examination) examine(ctx context.Context) {
	var err error
	if x.config, err = x.program.boot(); err != nil {
		x.fail("config", err)
		return
	}
	x.fine("config", "%s", orDefault(x.config.File, "environment only"))
	if err := needIdentity(x.config); err != nil {
		x.fail("identity", err)
		if x.config.AppKey.ID() == "" {
			return
		}
	} else {
		x.fine("identity", "NODE_ID %s, key %s", x.config.NodeID, x.config.AppKey.ID())
	}
	x.values = settings.NewValues(nil)
	x.database(ctx)
	x.redis(ctx, "redis", x.config.Redis)
	if x.config.JournalOwn {
		x.redis(ctx, journalRedis, x.config.JournalRedis)
	}
	x.rrdcached(ctx)
	x.icmp()
	x.machine()
}

func (x *examination) database(ctx context.Context) {
	if err := needInventory(x.config); err != nil {
		x.fail("db", err)
		return
	}
	s, err := store.Open(ctx, x.config.Database, x.config.AppKey, x.program.logger("error"))
	if err != nil {
		x.fail("db", err)
		return
	}
	defer s.Close()
	if x.cluster, err = s.ClusterID(ctx); err != nil {
		x.fail("db", err)
		return
	}
	if nodes, err := s.Nodes(ctx); err == nil {
		x.lived = len(nodes) > 0
	}
	if stored, err := s.LoadSettings(ctx); err == nil {
		x.values = settings.NewValues(stored)
	}
	if tally, err := s.TallyBills(ctx); err == nil {
		x.bills = tally.Bills
	}
	x.fine("db", "%s, schema up to date, cluster %s", x.config.Database.Connection, x.cluster)
	x.key(ctx, s)
}

func (x *examination) rrdcached(ctx context.Context) {
	if len(x.config.RRDCached) == 0 {
		x.fail("rrdcached", errNoRRDCached)
		return
	}
	for _, target := range x.config.RRDCached {
		if err := x.target(ctx, target, "RRDCACHED"); err != nil {
			x.fail("rrdcached", fmt.Errorf("%s: %w", target, err))
		}
	}
	for _, shard := range x.values.Shards() {
		for _, target := range shard.Targets {
			if err := x.target(ctx, target, settings.KeyRRDShards); err != nil {
				x.fail("rrdcached", fmt.Errorf("shard %d, %s: %w", shard.Number, target, err))
			}
		}
	}
}

// target examines an RRDCached that stands in a variable or a setting.
func (x *examination) target(ctx context.Context, target, where string) error {
	dialing, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	client, err := rrdcached.Dial(dialing, target)
	if err != nil {
		return fmt.Errorf("%w: %w; start rrdcached, or correct %s", errUnreachable, err, where)
	}
	defer client.Close()
	if err := client.Allowed(ctx); errors.Is(err, rrdcached.ErrPermission) {
		return fmt.Errorf("%w; allow the commands of docs/configuration.md in its option -P", err)
	} else if err != nil {
		return fmt.Errorf("it does not answer as rrdcached does: %w; correct %s", err, where)
	}
	stats, err := client.Stats(ctx)
	if err != nil {
		return fmt.Errorf("read its counters: %w", err)
	}
	info, err := client.Info(ctx, "_pollux.rrd")
	if err != nil && !errors.Is(err, rrdcached.ErrNoFile) {
		return fmt.Errorf("read the identity of its tree: %w", err)
	}
	if err == nil && x.cluster != "" && !slices.ContainsFunc(info.Sources, func(s rrdcached.Source) bool { return s.Name == "c"+x.cluster }) {
		return fmt.Errorf("%w: its file _pollux.rrd does not name cluster %s; correct %s, or give this cluster a tree of its own", journal.ErrOtherCluster, x.cluster, where)
	}
	x.fine("rrdcached", "%s: %d files in memory, queue %d; -w, -z and -f together must not exceed %d s (%s), which cannot be asked for",
		target, stats.TreeNodesNumber, stats.QueueLength, x.values.Int(settings.KeyRRDFlushWindow), settings.KeyRRDFlushWindow)
	return nil
}

// icmp says how this user may send ICMP; the processes of the roles may have other rights.
func (x *examination) icmp() {
	mode := ping.Detect().Mode()
	switch {
	case mode != ping.Off:
		x.fine("icmp", "%s sockets", mode)
	case !x.values.Bool(settings.KeyICMPCheck):
		x.fine("icmp", "off: this user may not send it, and %s is false", settings.KeyICMPCheck)
	default:
		x.warn("icmp", "off: this user may not send it, so device add leaves its check out, polls take a device for up that answers by SNMP, and devices that are asked by ICMP only are not polled; "+
			"give the process CAP_NET_RAW (AmbientCapabilities), or its group a place in net.ipv4.ping_group_range")
	}
}

// minFiles is how many open files a busy consumer needs: a socket for every poll in flight.
const minFiles = 4096

func (x *examination) machine() {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < minFiles {
		x.warn("machine", "at most %d open files are allowed; raise the limit (ulimit -n, LimitNOFILE) to %d or more", limit.Cur, minFiles)
	}
	for _, name := range []string{"rrdtool"} {
		if _, err := exec.LookPath(name); err != nil {
			x.warn("machine", "%s is not installed; it is only needed to look at files by hand", name)
		}
	}
	if dir := x.config.DataDir; dir != "" {
		var disk unix.Statfs_t
		if err := unix.Statfs(dir, &disk); err == nil && disk.Blocks > 0 && 100*disk.Bavail/disk.Blocks < 10 {
			x.warn("machine", "less than 10 %% of the disk of %s is free", dir)
		}
		if info, err := os.Stat(dir + "/node.env"); err == nil && info.Mode().Perm()&0o077 != 0 {
			x.fail("machine", fmt.Errorf("%w: %s/node.env can be read by others; run: chmod 600 %s/node.env", config.ErrInvalid, dir, dir))
		}
	}
}
