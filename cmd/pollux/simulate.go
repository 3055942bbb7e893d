package main

import (
	"bufio"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"pollux/secret"
	"pollux/simulator"
)

// simulation is what the flags of simulate say.
type simulation struct {
	config              simulator.Config
	user                simulator.User
	community           string
	rebootAt, hostileAt string
	authPass, privPass  string
	logFile             string
	sick                []string
}

func (p *program) simulateCommand() *cobra.Command {
	var s simulation
	command := &cobra.Command{
		Use: "simulate", Short: "Answer SNMP like thousands of devices", Args: words(0),
		Long: `Answers SNMP v1, v2c and v3 on a range of loopback addresses, a device per
address, or on a range of ports of one address. Devices are synthesised, with
counters in a closed form of device, port and time, or played from .snmprec
recordings: the community NAME answers from NAME.snmprec.

With --hostile they are sick or lie: each device plays one of the named scripts.
"all" names every script, "honest" none; docs/simulator.md says what they do.`,
		Example: `  pollux simulate --listen 127.0.0.0/16:1161 --devices 1000 --ports 48
  pollux simulate --listen 127.0.0.1 --port-range 20000-20049
  pollux simulate --listen 127.0.0.1:1161 --recordings ./recordings
  pollux simulate --listen 127.0.0.0/24:1161 --devices 50 --hostile all
  pollux simulate --listen 127.0.0.1:1161 --hostile endless-table`,
		RunE: do(func(command *cobra.Command, _ []string) error {
			if s.config.PortRange != "" && !command.Flags().Changed("listen") {
				s.config.Listen = "127.0.0.1"
			}
			if err := s.complete(); err != nil {
				return err
			}
			return p.simulate(command, s.config, s.logFile)
		}),
	}
	s.add(command)
	return command
}

// complete makes the configuration of what is not a flag's own type.
func (s *simulation) complete() (err error) {
	s.config.Community = secret.New(s.community)
	if s.user.Name != "" {
		s.user.AuthPassword, s.user.PrivPassword = secret.New(s.authPass), secret.New(s.privPass)
		s.config.V3 = &s.user
	}
	if s.config.Sick, err = sicknesses(s.sick, time.Now()); err != nil {
		return err
	}
	for _, flag := range []struct {
		name, text string
		at         *time.Time
	}{
		{"reboot-at", s.rebootAt, &s.config.RebootAt},
		{"hostile-at", s.hostileAt, &s.config.HostileAt},
	} {
		if flag.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, flag.text)
		if err != nil {
			return usagef("--%s has the form 2026-01-02T15:04:05Z, not %.60q", flag.name, flag.text)
		}
		*flag.at = at
	}
	return nil
}

func (s *simulation) add(command *cobra.Command) {
	c, flags := &s.config, command.Flags()
	flags.StringVar(&c.Listen, "listen", "127.0.0.0/16:1161", "range of addresses and port, or one address")
	flags.StringVar(&c.PortRange, "port-range", "", "a device per port of one address, A-B")
	flags.IntVar(&c.Devices, "devices", 0, "devices, 0 for all of the range")
	flags.IntVar(&c.Ports, "ports", 48, "ports of each device")
	flags.StringVar(&c.Recordings, "recordings", "", "directory of .snmprec files")
	flags.StringVar(&s.community, "community", "public", "community of the synthesised devices")
	flags.StringVar(&s.user.Name, "user", "", "v3 user")
	flags.StringVar(&s.user.AuthProtocol, "auth-protocol", "", "of the v3 user")
	flags.StringVar(&s.authPass, "auth-password", "", "of the v3 user; a value here is visible to ps")
	flags.StringVar(&s.user.PrivProtocol, "privacy-protocol", "", "of the v3 user")
	flags.StringVar(&s.privPass, "privacy-password", "", "of the v3 user; a value here is visible to ps")
	flags.DurationVar(&c.Latency, "latency", 0, "delay of every answer")
	flags.DurationVar(&c.Jitter, "jitter", 0, "as much more or less, evenly spread")
	flags.Float64Var(&c.Loss, "loss", 0, "share of requests that are lost, 0 to 1")
	flags.Float64Var(&c.Dead, "dead", 0, "share of devices that never answer, 0 to 1")
	flags.StringVar(&s.rebootAt, "reboot-at", "", "time at which all devices restart, RFC 3339")
	flags.StringSliceVar(&c.Hostile, "hostile", nil, "scripts of sick and hostile devices that the devices play in turn, NAME[,NAME...]")
	flags.StringVar(&s.hostileAt, "hostile-at", "", "time at which the scripts begin, RFC 3339; before it all are honest")
	flags.Uint64Var(&c.HostileSeed, "hostile-seed", 1, "of what is random in a script")
	flags.StringArrayVar(&s.sick, "sick", nil, "counters that fail, "+sicknessForm+"; may be repeated")
	flags.BoolVar(&c.Only32Bit, "only-32-bit", false, "no 64-bit counters")
	flags.BoolVar(&c.Wrap, "wrap", false, "counters begin just below their wrap")
	flags.StringVar(&c.Pattern, "pattern", "constant", "rates over time: constant or steps")
	flags.DurationVar(&c.StepLength, "step-length", time.Minute, "how long a step lasts")
	flags.IntVar(&c.MaxMessage, "max-message", 1472, "bytes of the longest answer")
	flags.StringVar(&s.logFile, "log", "", "file that gets every octet counter that was answered")
}

func (p *program) simulate(command *cobra.Command, c simulator.Config, logFile string) (err error) {
	if logFile != "" {
		file, err := os.Create(logFile)
		if err != nil {
			return fmt.Errorf("open the log of answers: %w", err)
		}
		buffered := bufio.NewWriterSize(file, 1<<20)
		defer func() {
			if flushErr := buffered.Flush(); err == nil && flushErr != nil {
				err = fmt.Errorf("write the log of answers: %w", flushErr)
			}
			if closeErr := file.Close(); err == nil && closeErr != nil {
				err = fmt.Errorf("close the log of answers: %w", closeErr)
			}
		}()
		c.Log = buffered
	}
	agent, err := simulator.New(c, p.logger(""))
	if err != nil {
		return usagef("%v", err)
	}
	done := make(chan error, 1)
	go func() { done <- agent.Run(command.Context()) }()
	select {
	case <-agent.Ready():
		fmt.Fprintf(p.out, "answering SNMP from %s on; Ctrl-C ends\n", agent.Addr(0))
	case err := <-done:
		return err
	}
	return <-done
}
