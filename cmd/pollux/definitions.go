package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pollux/poller/definitions"
)

func (p *program) definitionsCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "definitions", Short: "List and check OS definitions: what an operating system is recognised by, and its tables",
		Args: words(0), RunE: help,
	}
	command.AddCommand(p.definitionsCheckCommand(), p.definitionsListCommand())
	return command
}

// definitionsFlag is the directory of a user's own definitions.
func definitionsFlag(command *cobra.Command, dir *string) {
	command.Flags().StringVar(dir, "definitions", "", "directory of your own OS definitions (default $POLLUX_DEFINITIONS_DIR)")
}

// definitions loads the embedded definitions and those of dir, or else of
// POLLUX_DEFINITIONS_DIR. Files that are wrong are told of on standard error and left out.
func (p *program) definitions(dir string) (*definitions.Set, error) {
	if dir == "" {
		for _, pair := range p.environ {
			if name, value, _ := strings.Cut(pair, "="); name == "POLLUX_DEFINITIONS_DIR" {
				dir = value
			}
		}
	}
	set, problems, err := definitions.Load(dir)
	if err != nil {
		return nil, err
	}
	for _, problem := range problems {
		fmt.Fprintf(p.errout, "left out: %v\n", problem)
	}
	return set, nil
}

func (p *program) definitionsCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE...", Short: "Say what is wrong with definitions, with their lines", Args: atLeast(1, "FILE"),
		Long: `Reads OS definitions (os/NAME.yaml) and files of tables (mibs/NAME.yaml) as the
poller does and says what is wrong with them, each with its line. It needs no
database and no configuration. docs/definitions.md describes the format.`,
		Example: "  pollux definitions check /etc/pollux/definitions/os/*.yaml",
		RunE: do(func(_ *cobra.Command, files []string) error {
			wrong := 0
			for _, file := range files {
				if problem := definitions.Check(file); problem != nil {
					wrong++
					fmt.Fprintln(p.out, problem)
					continue
				}
				fmt.Fprintf(p.out, "%s: ok\n", file)
			}
			if wrong > 0 {
				return usagef("%d of %d files cannot be used", wrong, len(files))
			}
			return nil
		}),
	}
}

func (p *program) definitionsListCommand() *cobra.Command {
	var dir string
	command := p.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the operating systems that are known", Args: words(0),
		RunE: do(func(_ *cobra.Command, _ []string) error {
			set, err := p.definitions(dir)
			if err != nil {
				return err
			}
			return p.listDefinitions(set)
		}),
	})
	definitionsFlag(command, &dir)
	return command
}

// listedOS is one operating system in JSON; the numbers are tables.
type listedOS struct {
	OS         string `json:"os"`
	Text       string `json:"text"`
	Vendor     string `json:"vendor,omitempty"`
	Type       string `json:"type,omitempty"`
	File       string `json:"file"`
	Processors int    `json:"processors"`
	Mempools   int    `json:"mempools"`
	Storage    int    `json:"storage"`
	Sensors    int    `json:"sensors"`
}

func (p *program) listDefinitions(set *definitions.Set) error {
	list := make([]listedOS, 0, len(set.OSes()))
	for _, o := range set.OSes() {
		all := o.All()
		list = append(list, listedOS{
			OS: o.OS, Text: o.Text, Vendor: o.Vendor, Type: o.Type, File: o.File(),
			Processors: len(all.Processors), Mempools: len(all.Mempools), Storage: len(all.Storage), Sensors: len(all.Sensors),
		})
	}
	if p.asJSON {
		return p.printJSON(items[listedOS]{list})
	}
	rows := make([][]string, 0, len(list))
	for _, o := range list {
		rows = append(rows, []string{
			o.OS, o.Text, o.Type, strconv.Itoa(o.Processors), strconv.Itoa(o.Mempools), strconv.Itoa(o.Storage), strconv.Itoa(o.Sensors), o.File,
		})
	}
	return p.printTable([]string{"OS", "name", "type", "processors", "mempools", "storage", "sensors", "file"}, rows)
}
