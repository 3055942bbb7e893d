package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/poller"
	"pollux/poller/definitions"
	"pollux/settings"
	"pollux/snmp"
)

// asking is where and how a device is asked from the command line.
type asking struct {
	host      string
	port      uint16
	transport string
	timeout   time.Duration
	retries   int

	repetitions, objects int // as in snmp.Target; 0 leaves them to it
}

func (a asking) target(c snmp.Credentials) snmp.Target {
	return snmp.Target{
		Host: a.host, Port: a.port, Transport: a.transport, Credentials: c, Timeout: a.timeout, Retries: a.retries,
		MaxRepetitions: a.repetitions, MaxObjects: a.objects,
	}
}

// address is "host:port" for messages.
func (a asking) address() string { return net.JoinHostPort(a.host, strconv.Itoa(int(a.port))) }

func (p *program) inspectCommand() *cobra.Command {
	var flags snmpFlags
	var timeout time.Duration
	var retries int
	var dir string
	var cost bool
	command := p.jsonFlag(&cobra.Command{
		Use: "inspect HOST[:PORT]", Short: "Read a device without adding it, and print what was found", Args: words(1),
		Long: `Reads a device once and prints what discovery and one poll find on it. It
needs no database, no Redis and no configuration, and stores nothing.

With --cost it is read as one that is added: discovered, polled, and polled
again. Printed is what the discovery and the last poll took: the objects asked
for, the replies, and the replies of one Ethernet frame each that they would fill.`,
		Example: "  pollux inspect 192.0.2.1 -2 -c env:COMMUNITY\n  pollux inspect 127.0.0.1:1161 -2 -c public --json",
		RunE: do(func(command *cobra.Command, args []string) error {
			host, port, err := hostPort(args[0])
			if err != nil {
				return err
			}
			if port != 0 {
				flags.port = port
			}
			var unset settings.Values // nothing is read from the database
			a := asking{host: host, timeout: timeout, retries: retries}
			if a.port, a.transport, err = flags.place(command, unset); err != nil {
				return err
			}
			if timeout < 100*time.Millisecond || timeout > time.Minute || retries < 0 || retries > 20 {
				return usagef("--timeout is from 100ms to 1m, --retries from 0 to 20")
			}
			candidates, err := flags.candidates(p, command, unset.List(settings.KeySNMPVersion))
			if err != nil {
				return err
			}
			set, err := p.definitions(dir)
			if err != nil {
				return err
			}
			if cost {
				return p.inspectCost(command.Context(), a, candidates, set)
			}
			return p.inspect(command.Context(), a, candidates, set)
		}),
	})
	flags.add(command)
	command.Flags().DurationVar(&timeout, "timeout", time.Second, "of one try")
	command.Flags().IntVar(&retries, "retries", 2, "tries after the first")
	definitionsFlag(command, &dir)
	command.Flags().BoolVar(&cost, "cost", false, "print what a discovery and a poll of it take, and not what they find")
	return command
}

func (p *program) inspect(ctx context.Context, a asking, candidates []snmp.Credentials, set *definitions.Set) error {
	return p.eachCredentials(ctx, a, candidates, func(session *snmp.Session, _ snmp.Credentials) (poller.Report, func() error) {
		found, report := poller.Inspect(ctx, session, poller.Target{Timeout: a.timeout, Retries: a.retries}, set)
		return report, func() error { return p.printInspection(found, report) }
	})
}

// inspectCost prints what a device that is known costs.
func (p *program) inspectCost(ctx context.Context, a asking, candidates []snmp.Credentials, set *definitions.Set) error {
	return p.eachCredentials(ctx, a, candidates, func(session *snmp.Session, credentials snmp.Credentials) (poller.Report, func() error) {
		fresh, err := snmp.Dial(ctx, a.target(credentials), nil)
		if err != nil {
			return poller.Report{Poll: device.Poll{Outcome: device.OutcomeUp}}, func() error { return deviceError(a, err) }
		}
		defer func() { _ = fresh.Close() }()
		costs, report := poller.MeasureCosts(ctx, session, fresh, poller.Target{Timeout: a.timeout, Retries: a.retries}, set)
		return report, func() error { return p.printCosts(costs, report) }
	})
}

func (p *program) printCosts(costs poller.Costs, report poller.Report) error {
	if p.asJSON {
		if err := p.printJSON(costs); err != nil {
			return err
		}
		return incomplete(report)
	}
	row := func(name string, c poller.Cost) []string {
		return []string{name, strconv.Itoa(c.Asked), strconv.Itoa(c.Bytes), strconv.Itoa(c.Replies), strconv.Itoa(c.Fewest)}
	}
	if err := p.printTable([]string{"", "objects", "bytes", "replies", "fewest"}, [][]string{row("discovery", costs.Discovery), row("poll", costs.Poll)}); err != nil {
		return err
	}
	return incomplete(report)
}

// eachCredentials reads a device with the first credentials that it takes, and then prints.
func (p *program) eachCredentials(ctx context.Context, a asking, candidates []snmp.Credentials, read func(*snmp.Session, snmp.Credentials) (poller.Report, func() error)) error {
	var failed error
	for _, credentials := range candidates {
		session, err := snmp.Dial(ctx, a.target(credentials), nil)
		if err != nil {
			return deviceError(a, err)
		}
		report, show := read(session, credentials)
		_ = session.Close()
		if ctx.Err() != nil {
			return errInterrupted
		}
		switch report.Poll.Outcome {
		case device.OutcomeUp, device.OutcomePartial:
			return show()
		default:
			failed = outcomeError(a, report.Poll)
		}
	}
	return failed
}

func (p *program) printInspection(found poller.Inspection, report poller.Report) error {
	if p.asJSON {
		if err := p.printJSON(found); err != nil {
			return err
		}
		return incomplete(report)
	}
	for _, line := range [][2]string{
		{"sysName", found.SysName}, {"sysDescr", found.SysDescr}, {"sysObjectID", found.SysObjectID}, {"OS", found.OS},
		{"hardware", found.Hardware}, {"version", found.Version}, {"serial", found.Serial}, {"features", found.Features},
	} {
		if line[1] != "" {
			fmt.Fprintf(p.out, "%-12s %s\n", line[0], line[1])
		}
	}
	fmt.Fprintf(p.out, "%-12s %d\n\n", "ports", len(found.Ports))
	rows := make([][]string, 0, len(found.Ports))
	for _, port := range found.Ports {
		rows = append(rows, []string{
			strconv.FormatInt(port.IfIndex, 10), port.IfName, port.IfAlias, port.IfType, rate(port.IfSpeed), port.IfAdminStatus, port.IfOperStatus,
			counter(port.IfInOctets), counter(port.IfOutOctets),
		})
	}
	if err := p.printTable([]string{"ifIndex", "ifName", "ifAlias", "ifType", "speed", "admin", "oper", "in octets", "out octets"}, rows); err != nil {
		return err
	}
	if err := p.printComponents(&found.Components); err != nil {
		return err
	}
	fmt.Fprintln(p.out)
	for _, module := range report.Modules {
		fmt.Fprintf(p.out, "module %-10s %8.1f ms\n", module.Name, float64(module.Duration.Microseconds())/1000)
	}
	return incomplete(report)
}

// incomplete is the error of a read whose modules did not all succeed: what was found is printed, but it may not be all.
func incomplete(report poller.Report) error {
	if report.Poll.Outcome != device.OutcomePartial {
		return nil
	}
	for _, module := range report.Modules {
		var status *snmp.StatusError
		if errors.As(module.Err, &status) && slices.Contains([]string{"authorizationError", "noAccess"}, status.Status) {
			return fmt.Errorf("%w: the user or community may not read all of it: %s", snmp.ErrAuth, report.Poll.Reason)
		}
	}
	return fmt.Errorf("what was found may be incomplete: %s", report.Poll.Reason)
}

// deviceError says what to do when a device cannot even be asked.
func deviceError(a asking, err error) error {
	var unknown *net.DNSError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%w: the name %.80q is not known; check the spelling, or give its address", errUnreachable, a.host)
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return fmt.Errorf("%w from %s: %w", errUnreachable, a.address(), err)
	}
	return err
}

// outcomeError says what to do when a device was asked in vain.
func outcomeError(a asking, poll device.Poll) error {
	if poll.Outcome == device.OutcomeAuth {
		return fmt.Errorf("%w by %s: check user, protocols and passwords (%s)", snmp.ErrAuth, a.address(), poll.Reason)
	}
	if strings.HasPrefix(poll.Reason, device.ModuleICMP+": ") {
		return fmt.Errorf("%w from %s (%s): see that it answers ICMP; a device that is asked by SNMP can do without: pollux device set %s --poller-off icmp", errUnreachable, a.host, poll.Reason, a.host)
	}
	return fmt.Errorf("%w from %s (%s): check address, port, community and the device's access list", errUnreachable, a.address(), poll.Reason)
}

func counter(n *uint64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatUint(*n, 10)
}

// rate prints bits per second with an SI prefix.
func rate(bits uint64) string {
	if bits == 0 {
		return "-"
	}
	value, unit := float64(bits), ""
	for _, next := range []string{"k", "M", "G", "T"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, next
	}
	return strconv.FormatFloat(value, 'f', -1, 64) + unit
}
