package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"pollux/admission"
	"pollux/device"
	"pollux/secret"
	"pollux/settings"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

const (
	demoDir      = "./demo-data"
	demoListen   = "127.16.0.0/16:1161"
	demoArchives = "AVERAGE:1x360 MAX:6x360" // an hour at 10 s, 93 KB a port: the full archives take 2.4 MB
	demoNets     = "127.0.0.0/8"             // where the simulated devices are, which no network has
	demoAdders   = 8
)

// demo is one run of the demonstration.
type demo struct {
	program  *program
	devices  int
	ports    int
	interval int
	listen   string
	duration time.Duration

	node      *node
	admission *admission.Admission
	agent     *simulator.Agent
	ids       []int64   // of the demo's devices
	since     time.Time // when the last one was there, or polled again after a pause
	seen      *slotTally
}

func (p *program) demoCommand() *cobra.Command {
	d := demo{program: p}
	command := &cobra.Command{
		Use: "demo", Short: "Simulate devices and poll them on this machine; look at it work", Args: words(0),
		Long: `Runs "pollux standalone" with simulated devices on loopback addresses, adds
them, polls them, and prints a summary every few seconds. Ctrl-C stops
everything; a second start goes on with the data that is kept. With --duration
it ends by itself, and its exit code is 0 only if every device was up in every
slot and rrdtool shows a known rate for each port.`,
		RunE: do(func(command *cobra.Command, _ []string) error {
			if p.dataDir == "" {
				p.dataDir = demoDir
			}
			// The demo has servers of its own: what is configured for a real network must not get its devices and settings.
			p.envFile, p.environ = os.DevNull, only(p.environ, "POLLUX_OPS_LISTEN", "POLLUX_LOG_LEVEL")
			p.level.Set(slog.LevelWarn) // the summary is what is to be seen
			if d.devices < 1 || d.devices > 10_000 || d.ports < 1 || d.ports > 1000 {
				return usagef("--devices is from 1 to 10000, --ports from 1 to 1000")
			}
			if d.interval < device.MinInterval || d.interval > device.MaxInterval {
				return usagef("--interval is from %d to %d seconds", device.MinInterval, device.MaxInterval)
			}
			if d.duration < 0 || d.duration > 0 && d.duration < time.Duration(3*d.interval)*time.Second {
				return usagef("--duration must cover at least three slots: %d s or more", 3*d.interval)
			}
			return d.run(command.Context())
		}),
	}
	flags := command.Flags()
	flags.IntVar(&d.devices, "devices", 50, "simulated devices")
	flags.IntVar(&d.ports, "ports", 24, "ports of each")
	flags.IntVar(&d.interval, "interval", 10, "seconds between two polls of a device")
	flags.StringVar(&d.listen, "listen", demoListen, "addresses and port of the simulated devices")
	flags.DurationVar(&d.duration, "duration", 0, "end after this long; 0 goes on until Ctrl-C")
	return command
}

// only keeps the variables that are named.
func only(environ []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return !slices.Contains(names, name)
	})
}

func (d *demo) run(ctx context.Context) error {
	agent, err := simulator.New(simulator.Config{Listen: d.listen, Devices: d.devices, Ports: d.ports}, d.program.logger("warn"))
	if err != nil {
		return usagef("%v", err)
	}
	d.agent = agent
	simulating, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	simulated := make(chan error, 1)
	go func() { simulated <- agent.Run(simulating) }()
	select {
	case <-agent.Ready():
	case err := <-simulated:
		return fmt.Errorf("simulate devices on %s: %w", d.listen, err)
	}
	fmt.Fprintf(d.program.out, "simulating %d devices of %d ports from %s on; data in %s\n", d.devices, d.ports, agent.Addr(0), d.program.dataDir)
	err = d.program.standalone(ctx, d.beside)
	stop()
	return errors.Join(err, <-simulated)
}

// beside is what the demo does while standalone runs.
func (d *demo) beside(ctx context.Context, n *node) error {
	d.node = n
	select {
	case <-n.ops.Ready():
	case <-ctx.Done():
		return nil
	}
	if err := d.addDevices(ctx); err != nil {
		return orNil(ctx, err)
	}
	d.printAddresses()
	d.since = n.clock.Now()
	d.seen = newSlotTally(d.ids, d.interval, d.since)
	if d.duration == 0 {
		d.summarize(ctx)
		return nil
	}
	timed, cancel := context.WithTimeout(ctx, d.duration)
	defer cancel()
	d.summarize(timed)
	if ctx.Err() != nil {
		return nil // Ctrl-C before the time was over
	}
	return d.verdict(ctx)
}

// addDevices adds the simulated devices that the inventory does not have yet.
func (d *demo) addDevices(ctx context.Context) error {
	for key, value := range map[string]string{settings.KeyRRDArchives: demoArchives, settings.KeyNetsAllow: demoNets} {
		if _, stored := d.node.settings.Values().Text(key); stored {
			continue
		}
		if err := d.node.store.SetSetting(ctx, key, value, "demo"); err != nil {
			return err
		}
	}
	if err := d.node.settings.Refresh(ctx); err != nil {
		return err
	}
	var err error
	if d.admission, err = admission.Open(ctx, admission.Deps{Store: d.node.store, Values: d.node.settings.Values()}); err != nil {
		return err
	}
	d.ids = make([]int64, d.devices)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(demoAdders)
	for i := range d.devices {
		group.Go(func() (err error) {
			d.ids[i], err = d.addDevice(ctx, i)
			return err
		})
	}
	return group.Wait()
}

func (d *demo) addDevice(ctx context.Context, i int) (int64, error) {
	where := d.agent.Addr(i)
	name := fmt.Sprintf("demo-%04d", i+1)
	if known, err := d.node.store.DeviceByHostname(ctx, name); err == nil {
		return known.ID, d.move(ctx, known, where)
	} else if !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	asked, err := d.admission.Add(ctx, admission.Request{
		Device: device.Device{
			Hostname: name, Address: where.Addr().String(), Port: where.Port(), Transport: "udp", Interval: d.interval, Retries: -1, Status: device.StatusNew,
		},
		Given: []snmp.Credentials{{Version: snmp.V2c, Community: secret.New(defaultCommunity)}}, Anywhere: true, Alive: true,
	})
	return asked.Device.ID, err
}

// move follows a demo that is started on other addresses or with another interval.
func (d *demo) move(ctx context.Context, known device.Device, where netip.AddrPort) error {
	if known.Address == where.Addr().String() && known.Port == where.Port() && known.Interval == d.interval {
		return nil
	}
	_, err := d.node.store.UpdateDevice(ctx, known.ID, func(changed *device.Device) error {
		changed.Address, changed.Port, changed.Interval = where.Addr().String(), where.Port(), d.interval
		changed.Credentials.Version = snmp.V2c
		return nil
	})
	return err
}

func (d *demo) printAddresses() {
	base := "http://" + d.node.ops.Addr().String()
	fmt.Fprintf(d.program.out, `
  queues     %s/asynqmon/
  metrics    %s/metrics
  readiness  %s/readyz
  devices    pollux --data-dir %s device list

`, base, base, base, d.program.dataDir)
}
