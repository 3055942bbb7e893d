package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
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
		Use: "healthcheck", Short: "Ask the local process whether it is ready; print the failing check", Args: cobra.NoArgs,
		RunE: do(func(command *cobra.Command, _ []string) error {
			addresses := []string{address}
			if address == "" {
				c, err := p.boot()
				if err != nil {
					return err
				}
				if addresses = []string{c.OpsListen}; c.OpsListen == "" {
					addresses = []string{opsProducer, opsConsumer}
				}
			}
			return p.healthcheck(command.Context(), addresses)
		}),
	}
	command.Flags().StringVar(&address, "address", "", "operators' listener, host:port (default POLLUX_OPS_LISTEN, else the roles' own)")
	return command
}

// healthcheck asks the first of the addresses at which a process listens.
func (p *program) healthcheck(ctx context.Context, addresses []string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, address := range addresses {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		if err != nil {
			return usagef("--address has the form host:port, not %.80q", address)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			continue
		}
		defer response.Body.Close()
		var readiness ops.Readiness
		if err := json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&readiness); err != nil {
			return fmt.Errorf("the process at %s gives no readable answer: %w", address, err)
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s", failing(readiness))
		}
		fmt.Fprintln(p.out, readiness.Status)
		return nil
	}
	return fmt.Errorf("%w from a process at %s; is one running?", errUnreachable, strings.Join(addresses, " or "))
}

// failing names the checks that fail, with their errors.
func failing(r ops.Readiness) string {
	var all []string
	for name, check := range r.Checks {
		if check.Status == ops.StateFailing {
			all = append(all, name+": "+check.Error)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}
