package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/ops"
)

// The operators' listeners of the roles, where POLLUX_OPS_LISTEN says nothing.
const (
	opsProducer = "127.0.0.1:9160" // standalone too
	opsConsumer = "127.0.0.1:9161"
)

func (p *program) healthcheckCommand() *cobra.Command {
	var address string
	command := &cobra.Command{
		Use: "healthcheck", Short: "Ask the local process whether it is ready; print the failing check", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			addresses, err := p.listeners(address)
			if err != nil {
				return err
			}
			return p.healthcheck(command.Context(), addresses)
		}),
	}
	command.Flags().StringVar(&address, "address", "", "operators' listener, host:port (default POLLUX_OPS_LISTEN, else the roles' own)")
	return command
}

// listeners are the addresses at which a process of this machine may listen.
func (p *program) listeners(address string) ([]string, error) {
	if address == "" {
		c, err := p.boot()
		if err != nil {
			return nil, err
		}
		if address = c.OpsListen; address == "" {
			return []string{opsProducer, opsConsumer}, nil
		}
	}
	_, port, err := net.SplitHostPort(address)
	if number, parseErr := strconv.ParseUint(port, 10, 16); err != nil || parseErr != nil || number == 0 {
		return nil, usagef("the process listens at host:port, not %.80q; say where with --address (the process logs it)", address)
	}
	return []string{address}, nil
}

// healthcheck asks the first of the addresses at which a process listens.
func (p *program) healthcheck(ctx context.Context, addresses []string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy of the environment: it is this machine
	for _, address := range addresses {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		if err != nil {
			return usagef("--address has the form host:port, not %.80q", address)
		}
		response, err := client.Do(request)
		if err != nil {
			continue
		}
		defer response.Body.Close()
		var readiness ops.Readiness
		if err := json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&readiness); err != nil || readiness.Status == "" {
			return fmt.Errorf("the process at %s gives no readable answer; is it another program?", address)
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s", in(readiness, ops.StateFailing))
		}
		fmt.Fprintln(p.out, strings.TrimSuffix(readiness.Status+": "+in(readiness, ops.StateDegraded), ": "))
		return nil
	}
	return fmt.Errorf("%w from a process at %s; is one running?", errUnreachable, strings.Join(addresses, " or "))
}

// in names the checks in a state, with their errors.
func in(r ops.Readiness, state string) string {
	var all []string
	for name, check := range r.Checks {
		if check.Status == state {
			all = append(all, name+": "+check.Error)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}
