package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pollux/admission"
	"pollux/secret"
	"pollux/settings"
	"pollux/store"
)

const (
	maxFile  = 8 << 20 // bytes of a file of devices
	maxLines = 10_000  // devices of a file
)

// csvFlags are those of device add for a file.
type csvFlags struct {
	file   string
	dryRun bool
}

func (f *csvFlags) add(command *cobra.Command) {
	command.Flags().StringVar(&f.file, "csv", "", "add a device per line of this file, - for the input; the first line names the columns")
	command.Flags().BoolVar(&f.dryRun, "dry-run", false, "with --csv: ask the devices and say what would be added, and add nothing")
}

// check refuses what needs no look into the file.
func (f *csvFlags) check(command *cobra.Command, flags deviceFlags, args []string) error {
	file := command.Flags().Changed("csv")
	switch {
	case file && len(args) > 0:
		return usagef("name a device, or a file of devices by --csv, not both")
	case file && f.file == "":
		return usagef("--csv names a file, or - for the input")
	case !file && f.dryRun:
		return usagef("--dry-run belongs to --csv")
	case !file && len(args) == 0:
		return usagef("the form is: %s; or: %s --csv FILE", command.UseLine(), command.CommandPath())
	case file && flags.address != "":
		return usagef("an address is of one device: write it into the column address")
	case f.file == "-" && slices.Contains([]string{flags.snmp.community, flags.snmp.authPass, flags.snmp.privPass}, "-"):
		return usagef("the input cannot be both the file and a secret: take the secret from a variable, env:NAME")
	}
	return nil
}

// columns are what a file may say of a device, and the flags of device add that mean the same.
var columns = map[string]string{
	"hostname": "", "address": "address", "port": "port", "transport": "transport", "version": "",
	"community": "community", "user": "security-name", "auth_password": "auth-password", "auth_protocol": "auth-protocol",
	"priv_password": "privacy-password", "priv_protocol": "privacy-protocol", "context": "context", "credential": "credential",
	"group": "group", "interval": "interval", "ping_only": "ping-only", "force": "force",
}

// csvLine is a line of a file.
type csvLine struct {
	number int
	cells  map[string]string // by column, those that are not empty
	err    error             // why it cannot be meant
}

// readLines reads a file of devices. Its error means that nothing of the file counts.
func readLines(from io.Reader) ([]csvLine, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the file of devices: %w", err)
	}
	if len(text) > maxFile {
		return nil, usagef("the file of devices is longer than %d MiB; divide it", maxFile>>20)
	}
	reader := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	reader.FieldsPerRecord = -1 // a line that differs is refused, not the file
	reader.TrimLeadingSpace = true
	names, err := header(reader)
	if err != nil {
		return nil, err
	}
	var lines []csvLine
	first := map[string]int{} // line of each hostname
	for {
		record, err := reader.Read()
		var malformed *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			if len(lines) == 0 {
				return nil, usagef("the file names no device")
			}
			return lines, nil
		case errors.As(err, &malformed):
			return nil, usagef("line %d of the file is malformed: %v", malformed.Line, malformed.Err)
		case err != nil:
			return nil, fmt.Errorf("read the file of devices: %w", err)
		case len(lines) == maxLines:
			return nil, usagef("the file has more than %d devices; divide it", maxLines)
		}
		number, _ := reader.FieldPos(0)
		lines = append(lines, lineOf(number, record, names, first))
	}
}

// header reads the names of the columns.
func header(reader *csv.Reader) ([]string, error) {
	names, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, usagef("the file of devices is empty; its first line names the columns: %s", columnNames())
	}
	if err != nil {
		return nil, usagef("the first line of the file is malformed; it names the columns: %s", columnNames())
	}
	for i, name := range names {
		names[i] = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
		if _, known := columns[names[i]]; !known {
			return nil, usagef("the file has a column %.40q; the columns are: %s", name, columnNames())
		}
		if slices.Contains(names[:i], names[i]) {
			return nil, usagef("the file has the column %s twice", names[i])
		}
	}
	if !slices.Contains(names, "hostname") {
		return nil, usagef("the file has no column hostname; its first line names the columns: %s", columnNames())
	}
	return names, nil
}

func columnNames() string { return strings.Join(slices.Sorted(maps.Keys(columns)), ", ") }

// lineOf takes over a record, and refuses one whose fields do not fit or whose hostname stood in an earlier line.
func lineOf(number int, record, names []string, first map[string]int) csvLine {
	line := csvLine{number: number, cells: map[string]string{}}
	if len(record) != len(names) {
		line.err = usagef("it has %d fields, the first line has %d", len(record), len(names))
	}
	for i, cell := range record[:min(len(record), len(names))] {
		if cell != "" {
			line.cells[names[i]] = cell
		}
	}
	host := strings.ToLower(line.cells["hostname"])
	earlier, known := first[host]
	switch {
	case line.err != nil:
	case host == "":
		line.err = usagef("it has no hostname")
	case known:
		line.err = fmt.Errorf("%w: line %d has the same hostname", store.ErrDuplicate, earlier)
	default:
		first[host] = number
	}
	return line
}

// credentialColumns say who asks; a line that has one does without the credentials of the command line.
var credentialColumns = []string{"version", "community", "user", "auth_password", "auth_protocol", "priv_password", "priv_protocol", "context", "credential"}

// request is what a line asks for, where it says nothing the flags of the command line.
func (l csvLine) request(p *program, command *cobra.Command, s *store.Store, values settings.Values) (admission.Request, error) {
	var flags deviceFlags
	row := &cobra.Command{}
	row.SetContext(command.Context())
	flags.add(row)
	flags.addSets(row)
	icmp, _ := strconv.ParseBool(l.cells["ping_only"]) // what is none is refused below
	own := icmp || slices.ContainsFunc(credentialColumns, func(column string) bool { return l.cells[column] != "" })
	if err := inherit(command, row, own); err != nil {
		return admission.Request{}, err
	}
	for column, cell := range l.cells {
		flag := columns[column]
		if column == "version" {
			flag, cell = strings.ToLower(cell), "true"
			if !slices.Contains(versionFlags, flag) {
				return admission.Request{}, usagef("the version is v1, v2c or v3, not %.40q", l.cells[column])
			}
		}
		if flag == "" {
			continue
		}
		if err := row.Flags().Set(flag, cell); err != nil {
			return admission.Request{}, usagef("the column %s takes %s, not %.40q", column, takes(row.Flag(flag).Value.Type()), cell) // no secret: any text is one
		}
	}
	flags.snmp.literal = true
	return flags.request(row, p, s, values, l.cells["hostname"])
}

// takes says what a flag of a type takes.
func takes(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	default:
		return "a " + kind
	}
}

// inherit gives a line the flags of the command line, but for credentials when it has its own.
func inherit(command, row *cobra.Command, own bool) error {
	whose := slices.Concat(credentialFlags, []string{"credential", "ping-only"})
	for _, flag := range slices.Concat(whose, []string{"port", "transport", "group", "interval", "force"}) {
		given := command.Flag(flag)
		if !given.Changed || own && slices.Contains(whose, flag) {
			continue
		}
		value := given.Value.String()
		if flag == "credential" {
			value = strings.Trim(value, "[]") // as the library writes a list
		}
		if err := row.Flags().Set(flag, value); err != nil {
			return usagef("--%s cannot be taken for the lines of a file", flag)
		}
	}
	return nil
}

// readSecrets replaces "-" and "env:NAME" of the command line by what they stand for, once for all lines.
func (f *snmpFlags) readSecrets(p *program, command *cobra.Command) error {
	read, err := f.secrets(p)
	if err != nil {
		return err
	}
	for flag, text := range map[string]secret.String{"community": read.community, "auth-password": read.auth, "privacy-password": read.priv} {
		if !command.Flags().Changed(flag) {
			continue
		}
		if err := command.Flags().Set(flag, text.Reveal()); err != nil {
			return usagef("--%s cannot be taken", flag)
		}
	}
	return nil
}
