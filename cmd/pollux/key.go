package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"pollux/config"
	"pollux/secret"
)

func (p *program) keyCommand() *cobra.Command {
	key := &cobra.Command{Use: "key", Short: "Make the key that encrypts stored credentials", Args: words(0), RunE: help}
	key.AddCommand(&cobra.Command{
		Use: "generate", Short: "Print a new APP_KEY", Args: words(0),
		RunE: do(func(*cobra.Command, []string) error {
			generated, err := secret.GenerateKey()
			if err != nil {
				return err
			}
			fmt.Fprintln(p.out, generated.Reveal())
			return nil
		}),
	})
	return key
}

func (p *program) initCommand() *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Write a .env with a new APP_KEY and NODE_ID; one that is there stays as it is", Args: words(0),
		RunE: do(func(*cobra.Command, []string) error {
			file := p.envFile
			if file == "" {
				file = ".env"
			}
			nodeID, err := config.Init(file)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.out, "wrote %s with a new APP_KEY and NODE_ID %s; on further nodes copy it and change NODE_ID\n", file, nodeID)
			return nil
		}),
	}
}
