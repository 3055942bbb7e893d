package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"pollux/admission"
	"pollux/settings"
	"pollux/store"
)

// askedAtOnce is how many devices are asked side by side.
const askedAtOnce = 16

// addFile adds the devices of a file.
func (p *program) addFile(command *cobra.Command, s *store.Store, values settings.Values, flags deviceFlags, from csvFlags) error {
	lines, err := p.fileLines(from.file)
	if err != nil {
		return err
	}
	if err := flags.snmp.readSecrets(p, command); err != nil {
		return err
	}
	a, err := p.admission(command.Context(), admission.Deps{Store: s, Values: values, DryRun: from.dryRun})
	if err != nil {
		return err
	}
	p.tellLost(a)
	report := &fileReport{program: p, dryRun: from.dryRun, lines: lines}
	var requests []admission.Request
	for i := range lines {
		if lines[i].err != nil {
			continue
		}
		request, err := lines[i].request(p, command, s, values)
		if errors.Is(err, store.ErrUnavailable) {
			return err
		}
		if lines[i].err = err; err == nil {
			requests, report.asked = append(requests, request), append(report.asked, i)
		}
	}
	err = a.AddAll(command.Context(), requests, askedAtOnce, report.note)
	return report.end(command.Context(), err)
}

// fileLines reads the lines of a file, or of the input.
func (p *program) fileLines(name string) ([]csvLine, error) {
	if name == "-" {
		return readLines(p.in)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, usagef("the file of devices cannot be read: %v", err)
	}
	defer file.Close()
	return readLines(file)
}

// lineJSON is what became of a line of a file.
type lineJSON struct {
	Line     int      `json:"line"`
	Hostname string   `json:"hostname"`
	Added    bool     `json:"added"` // with dry_run: it would be
	ID       int64    `json:"id,omitempty"`
	Ports    int      `json:"ports"`
	Set      string   `json:"credential_set,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Error    string   `json:"error,omitempty"`
}

// fileReport tells what becomes of each line, in their order.
type fileReport struct {
	program *program
	dryRun  bool
	lines   []csvLine
	asked   []int // line of each request
	told    int   // lines that were told

	items   []lineJSON
	added   int
	refused int
}

// note takes the result of a request. Lines before it that were refused without being asked come first.
func (r *fileReport) note(i int, result admission.Result) {
	r.until(r.asked[i])
	line, asked := r.lines[r.asked[i]], result.Asked
	r.told++
	item := lineJSON{Line: line.number, Hostname: line.cells["hostname"], Added: result.Err == nil, ID: asked.Device.ID, Ports: asked.Ports, Set: asked.Set, Warnings: asked.Warnings}
	if result.Err != nil {
		item.Error, item.Set = result.Err.Error(), ""
	}
	r.tell(item)
}

// until tells the lines before one that were refused without being asked.
func (r *fileReport) until(index int) {
	for ; r.told < index; r.told++ {
		line := r.lines[r.told]
		reason := "not tried"
		if line.err != nil {
			reason = strings.TrimPrefix(line.err.Error(), errUsage.Error()+": ")
		}
		r.tell(lineJSON{Line: line.number, Hostname: line.cells["hostname"], Error: reason})
	}
}

func (r *fileReport) tell(item lineJSON) {
	if item.Error = plain(item.Error); item.Added {
		r.added++
	} else {
		r.refused++
	}
	if r.program.asJSON {
		r.items = append(r.items, item)
		return
	}
	text := "refused: " + item.Error
	if item.Added {
		text = fmt.Sprintf("added as device %d, %d ports", item.ID, item.Ports)
		set(r.dryRun, &text, fmt.Sprintf("would be added, %d ports", item.Ports))
		if item.Set != "" {
			text += ", with the credentials of the set " + item.Set
		}
	}
	for _, warning := range item.Warnings {
		text += "; warning: " + plain(warning)
	}
	fmt.Fprintf(r.program.out, "line %d: %s: %s\n", item.Line, plain(orDefault(item.Hostname, "-")), text)
}

// errRefused says that lines of a file, or agents that were found, were refused.
var errRefused = errors.New("not all were added")

// end tells the rest, and the sum. err is what ended it early.
func (r *fileReport) end(ctx context.Context, err error) error {
	r.until(len(r.lines))
	if r.program.asJSON {
		printed := r.program.printJSON(struct {
			Lines   int        `json:"lines"`
			Added   int        `json:"added"`
			Refused int        `json:"refused"`
			DryRun  bool       `json:"dry_run"`
			Items   []lineJSON `json:"items"`
		}{len(r.lines), r.added, r.refused, r.dryRun, r.items})
		if printed != nil {
			return printed
		}
	} else {
		word := "added"
		set(r.dryRun, &word, "would be added")
		fmt.Fprintf(r.program.out, "%d lines: %d %s, %d refused\n", len(r.lines), r.added, word, r.refused)
	}
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	case r.refused > 0:
		return fmt.Errorf("%w: %d of %d lines were refused, as the report says", errRefused, r.refused, len(r.lines))
	default:
		return nil
	}
}
