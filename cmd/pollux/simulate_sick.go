package main

import (
	"strconv"
	"strings"
	"time"

	"pollux/simulator"
)

// sicknessForm is how one --sick is written.
const sicknessForm = "NAME@SECONDS[-SECONDS][:DEVICE[.PORT]]"

// sicknesses reads the values of --sick; seconds count from now on.
func sicknesses(texts []string, now time.Time) (all []simulator.Sickness, err error) {
	for _, text := range texts {
		s, ok := readSickness(text, now)
		if !ok {
			return nil, usagef("--sick has the form %s, not %.60q", sicknessForm, text)
		}
		all = append(all, s)
	}
	return all, nil
}

func readSickness(text string, now time.Time) (s simulator.Sickness, ok bool) {
	name, rest, found := strings.Cut(text, "@")
	times, spot, spotted := strings.Cut(rest, ":")
	from, until, ends := strings.Cut(times, "-")
	s.Ailment = simulator.Ailment(name)
	if s.At, ok = secondsAfter(now, from); !found || !ok {
		return s, false
	}
	if ends {
		if s.Until, ok = secondsAfter(now, until); !ok {
			return s, false
		}
	}
	if !spotted {
		return s, true
	}
	s.Only = new(simulator.Spot)
	device, port, one := strings.Cut(spot, ".")
	var err error
	if s.Only.Device, err = strconv.Atoi(device); err != nil {
		return s, false
	}
	if one {
		s.Only.Port, err = strconv.Atoi(port)
	}
	return s, err == nil && (!one || s.Only.Port > 0)
}

func secondsAfter(now time.Time, text string) (time.Time, bool) {
	seconds, err := strconv.ParseUint(text, 10, 31)
	return now.Add(time.Duration(seconds) * time.Second), err == nil
}
