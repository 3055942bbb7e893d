package main

import (
	"fmt"
	"strconv"

	"pollux/poller"
)

// printComponents prints what definitions found on a device, a table each; a kind of which there is nothing has none.
func (p *program) printComponents(found *poller.Components) error {
	if err := p.printSection("processors", []string{"processor", "usage"}, len(found.Processors), func(i int) []string {
		return []string{found.Processors[i].Descr, percent(found.Processors[i].Usage)}
	}); err != nil {
		return err
	}
	if err := p.printSection("mempools", []string{"memory", "class", "used", "size", "percent"}, len(found.Mempools), func(i int) []string {
		m := &found.Mempools[i]
		return []string{m.Descr, m.Class, bytesOf(m.Used), bytesOf(m.Total), percent(m.Percent)}
	}); err != nil {
		return err
	}
	if err := p.printSection("storage", []string{"storage", "type", "used", "size", "percent"}, len(found.Storage), func(i int) []string {
		s := &found.Storage[i]
		return []string{s.Descr, s.Type, bytesOf(s.Used), bytesOf(s.Size), percent(s.Percent)}
	}); err != nil {
		return err
	}
	return p.printSection("sensors", []string{"class", "group", "sensor", "value"}, len(found.Sensors), func(i int) []string {
		s := &found.Sensors[i]
		value := strconv.FormatFloat(s.Current, 'f', -1, 64)
		if s.State != "" {
			value = s.State
		}
		return []string{s.Class, s.Group, s.Descr, value}
	})
}

func (p *program) printSection(title string, head []string, count int, row func(int) []string) error {
	if count == 0 {
		return nil
	}
	fmt.Fprintf(p.out, "\n%-12s %d\n\n", title, count)
	rows := make([][]string, count)
	for i := range rows {
		rows[i] = row(i)
	}
	return p.printTable(head, rows)
}

func percent(n float64) string { return strconv.FormatFloat(n, 'f', 0, 64) + " %" }

// bytesOf is a size for people, "" when it is not known.
func bytesOf(n *float64) string {
	if n == nil {
		return ""
	}
	return mebibytes(int64(*n))
}
