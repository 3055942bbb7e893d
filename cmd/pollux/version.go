package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (p *program) versionCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "version", Short: "Print the version", Args: words(0),
		RunE: do(func(*cobra.Command, []string) error {
			if p.asJSON {
				return p.printJSON(map[string]string{"version": currentVersion(), "go": runtime.Version()})
			}
			fmt.Fprintf(p.out, "pollux %s (%s)\n", currentVersion(), runtime.Version())
			return nil
		}),
	})
}
