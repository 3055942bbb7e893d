package main

import (
	"fmt"
	"strings"
	"time"

	"pollux/admission"
	"pollux/settings"
)

func (d *discovery) print(add bool) error {
	p, known := d.program, len(d.agents)-len(d.fresh)
	if p.asJSON {
		if d.agents == nil {
			d.agents = []agentJSON{}
		}
		return p.printJSON(struct {
			Addresses int         `json:"addresses"`
			Excluded  int         `json:"excluded"`
			Alive     int         `json:"alive"` // that answered ICMP; 0 when it was not asked
			Refused   int         `json:"refused"`
			Items     []agentJSON `json:"items"`
		}{d.tally.Done, d.excluded, d.tally.Alive, d.tally.Refused, d.agents})
	}
	rows := make([][]string, 0, len(d.agents))
	for _, item := range d.agents {
		state := "new"
		switch {
		case item.Error != "":
			state = "not added: " + item.Error
		case item.Added:
			state = fmt.Sprintf("added as device %d", item.DeviceID)
		case item.DeviceID != 0:
			state = fmt.Sprintf("%s (device %d)", item.Hostname, item.DeviceID)
		}
		rows = append(rows, []string{item.Address, item.SNMPVersion, orDefault(item.CredentialSet, "-"), plain(item.SysName), plain(item.SysObjectID), state})
	}
	if len(rows) > 0 {
		if err := p.printTable([]string{"ADDRESS", "SNMP", "SET", "SYSNAME", "SYSOBJECTID", "DEVICE"}, rows); err != nil {
			return err
		}
		fmt.Fprintln(p.out)
	}
	text := fmt.Sprintf("%d addresses, %d agents, %d of them known", d.tally.Done, len(d.agents), known)
	if d.admission.AsksICMP() {
		text += fmt.Sprintf(", %d addresses answer ICMP", d.tally.Alive)
	}
	if d.tally.Refused > 0 {
		text += fmt.Sprintf(", %d refuse the SNMPv3 credentials", d.tally.Refused)
	}
	if d.excluded > 0 {
		text += fmt.Sprintf(", %d left out by %s", d.excluded, settings.KeyNetsExclude)
	}
	fmt.Fprintln(p.out, text)
	if !add && len(d.fresh) > 0 {
		fmt.Fprintln(p.out, "--add adds the new ones")
	}
	return nil
}

// progressBar shows how far a search has got, on a terminal.
type progressBar struct {
	program *program
	on      bool
	total   int
	began   time.Time
}

const barWidth = 30

// newBar returns a bar that is shown only where somebody sees it.
func (p *program) newBar(total int) *progressBar {
	return &progressBar{program: p, on: isTerminal(p.errout), total: total, began: time.Now()}
}

func (b *progressBar) show(t admission.Tally) {
	if b.on {
		fmt.Fprint(b.program.errout, "\r"+barText(t, time.Since(b.began))+"\x1b[K")
	}
}

// clear takes the bar away, so that it does not stand among what is printed.
func (b *progressBar) clear() {
	if b.on {
		fmt.Fprint(b.program.errout, "\r\x1b[K")
	}
}

// barText is the bar as text of at most 80 columns.
func barText(t admission.Tally, passed time.Duration) string {
	share := 0
	if t.Addresses > 0 {
		share = barWidth * t.Done / t.Addresses
	}
	return fmt.Sprintf("[%s%s] %d/%d, %d agents, %s", strings.Repeat("#", share), strings.Repeat(".", barWidth-share), t.Done, t.Addresses, t.Agents, passed.Round(time.Second))
}
