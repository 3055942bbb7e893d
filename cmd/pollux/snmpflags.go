package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pollux/secret"
	"pollux/snmp"
)

const (
	defaultSNMPPort  = 161
	defaultCommunity = "public"
	maxSecretLine    = 1024 // bytes read of a secret from the standard input
)

// snmpFlags are the flags by which LibreNMS's device:add says how a device is asked.
type snmpFlags struct {
	v1, v2c, v3             bool
	community               string
	user, authPass          string
	authProtocol, privPass  string
	privProtocol, transport string
	context                 string
	port                    int
}

const secretHelp = `; "-" asks or reads a line of the input, "env:NAME" takes a variable; a value here is visible to ps`

func (f *snmpFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.BoolVarP(&f.v1, "v1", "1", false, "SNMP v1")
	flags.BoolVarP(&f.v2c, "v2c", "2", false, "SNMP v2c")
	flags.BoolVarP(&f.v3, "v3", "3", false, "SNMP v3")
	flags.StringVarP(&f.community, "community", "c", "", "community of v1 and v2c (default "+defaultCommunity+")"+secretHelp)
	flags.IntVarP(&f.port, "port", "r", defaultSNMPPort, "port of the SNMP agent")
	flags.StringVarP(&f.transport, "transport", "t", "udp", "udp, udp6, tcp or tcp6")
	flags.StringVarP(&f.user, "security-name", "u", "", "v3 user")
	flags.StringVarP(&f.authPass, "auth-password", "A", "", "v3 authentication password"+secretHelp)
	flags.StringVarP(&f.authProtocol, "auth-protocol", "a", "", "MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512 (default SHA-256 with a password)")
	flags.StringVarP(&f.privPass, "privacy-password", "X", "", "v3 privacy password"+secretHelp)
	flags.StringVarP(&f.privProtocol, "privacy-protocol", "x", "", "DES, AES, AES-192, AES-256, AES-192-C or AES-256-C (default AES with a password)")
	flags.StringVar(&f.context, "context", "", "v3 context name")
}

// credentialFlags are the flags that say who asks, as opposed to where.
var credentialFlags = []string{"v1", "v2c", "v3", "community", "security-name", "auth-password", "auth-protocol", "privacy-password", "privacy-protocol", "context"}

// changed says whether any flag about credentials was given.
func (f *snmpFlags) changed(command *cobra.Command) bool {
	for _, name := range credentialFlags {
		if command.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// candidates are the credentials to try, in LibreNMS's order: v2c, v3, v1. One version that is named is the only one.
func (f *snmpFlags) candidates(p *program) ([]snmp.Credentials, error) {
	chosen := 0
	for _, given := range []bool{f.v1, f.v2c, f.v3} {
		if given {
			chosen++
		}
	}
	if chosen > 1 {
		return nil, usagef("give one of -1, -2 and -3")
	}
	community := defaultCommunity
	var err error
	if f.community != "" {
		if community, err = p.secretFlag("community", f.community); err != nil {
			return nil, err
		}
	}
	var versions []snmp.Version
	switch {
	case f.v1:
		versions = []snmp.Version{snmp.V1}
	case f.v2c:
		versions = []snmp.Version{snmp.V2c}
	case f.v3, f.user != "":
		versions = []snmp.Version{snmp.V3}
	default:
		versions = []snmp.Version{snmp.V2c, snmp.V1}
	}
	var all []snmp.Credentials
	for _, version := range versions {
		c := snmp.Credentials{Version: version, Community: secret.New(community)}
		if version == snmp.V3 {
			if c, err = f.user3(p); err != nil {
				return nil, err
			}
		}
		if err := c.Validate(); err != nil {
			return nil, usagef("%v", err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (f *snmpFlags) user3(p *program) (snmp.Credentials, error) {
	c := snmp.Credentials{Version: snmp.V3, User: f.user, AuthProtocol: strings.ToUpper(f.authProtocol), PrivProtocol: strings.ToUpper(f.privProtocol), Context: f.context}
	authPass, err := p.secretFlag("authentication password", f.authPass)
	if err != nil {
		return c, err
	}
	privPass, err := p.secretFlag("privacy password", f.privPass)
	if err != nil {
		return c, err
	}
	c.AuthPassword, c.PrivPassword = secret.New(authPass), secret.New(privPass)
	if c.AuthProtocol == "" && authPass != "" {
		c.AuthProtocol = "SHA-256"
	}
	if c.PrivProtocol == "" && privPass != "" {
		c.PrivProtocol = "AES"
	}
	return c, nil
}

// place checks where the device is asked: LibreNMS's port and transport.
func (f *snmpFlags) place() (port uint16, transport string, err error) {
	if f.port < 1 || f.port > 65_535 {
		return 0, "", usagef("the port is a number from 1 to 65535, not %d", f.port)
	}
	switch f.transport {
	case "udp", "udp6", "tcp", "tcp6":
		return uint16(f.port), f.transport, nil
	default:
		return 0, "", usagef("the transport is udp, udp6, tcp or tcp6, not %.40q", f.transport)
	}
}

// secretFlag resolves "-" and "env:NAME", so that a secret need not stand on the command line.
func (p *program) secretFlag(what, value string) (string, error) {
	if name, found := strings.CutPrefix(value, "env:"); found {
		for _, pair := range p.environ {
			if text, found := strings.CutPrefix(pair, name+"="); found && name != "" {
				return text, nil
			}
		}
		return "", usagef("the %s is to come from the variable %.80q, which is not set", what, name)
	}
	if value != "-" {
		return value, nil
	}
	if file, ok := p.in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprintf(p.errout, "%s: ", what)
		text, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(p.errout)
		if err != nil {
			return "", fmt.Errorf("read the %s: %w", what, err)
		}
		return string(text), nil
	}
	if p.lines == nil {
		p.lines = bufio.NewReaderSize(io.LimitReader(p.in, 16*maxSecretLine), maxSecretLine)
	}
	line, err := p.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", usagef("the %s is to come from the input, which has no further line", what)
	}
	return line, nil
}

// hostPort splits "host", "host:port", "[v6]:port" and a bare IPv6 address.
func hostPort(text string) (host string, port int, err error) {
	if net.ParseIP(text) != nil || !strings.Contains(text, ":") {
		return text, 0, nil
	}
	host, number, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, usagef("%.80q is not HOST or HOST:PORT", text)
	}
	port, err = strconv.Atoi(number)
	if err != nil || port < 1 || port > 65_535 {
		return "", 0, usagef("the port is a number from 1 to 65535, not %.40q", number)
	}
	return host, port, nil
}
