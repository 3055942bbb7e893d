//go:build gosnmp_nodebug

package bench

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// samples are what a process exports at one moment, by name and labels as they
// stand in the text format of Prometheus.
type samples map[string]float64

// scrape reads the metrics of the process whose operators' listener has the address.
func scrape(address string) (samples, error) {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<22))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics of %s: %s", address, response.Status)
	}
	all := samples{}
	for line := range strings.Lines(string(text)) {
		name, value, found := cutLast(strings.TrimSpace(line))
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		if all[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("metrics of %s: %w", address, err)
		}
	}
	return all, nil
}

func cutLast(line string) (name, value string, found bool) {
	at := strings.LastIndexByte(line, ' ')
	if at < 0 {
		return "", "", false
	}
	return line[:at], line[at+1:], true
}

// sum adds up all series of a metric that have the label `name="value"` ("" for any).
func (s samples) sum(metric, label string) float64 {
	total := 0.0
	for name, value := range s {
		if base, labels, _ := strings.Cut(name, "{"); base == metric && strings.Contains(labels, label) {
			total += value
		}
	}
	return total
}

// quantile estimates a quantile of what a histogram without labels saw since
// before, linear within its buckets as Prometheus does it.
func (s samples) quantile(before samples, metric string, q float64) float64 {
	type bucket struct{ limit, count float64 }
	var buckets []bucket
	for name, count := range s {
		if limit, found := strings.CutPrefix(name, metric+`_bucket{le="`); found {
			n, err := strconv.ParseFloat(strings.TrimSuffix(limit, `"}`), 64) // +Inf is one
			if err != nil {
				continue
			}
			buckets = append(buckets, bucket{n, count - before[name]})
		}
	}
	slices.SortFunc(buckets, func(a, b bucket) int {
		if a.limit < b.limit {
			return -1
		}
		return 1
	})
	if len(buckets) == 0 {
		return math.NaN()
	}
	rank, low, below := q*buckets[len(buckets)-1].count, 0.0, 0.0
	for _, b := range buckets {
		if b.count >= rank && b.count > below {
			if math.IsInf(b.limit, 1) {
				return low
			}
			return low + (b.limit-low)*(rank-below)/(b.count-below)
		}
		low, below = b.limit, b.count
	}
	return low
}

func contains(words []string, word string) bool { return slices.Contains(words, word) }

// number reads a number that is known to be one; 0 otherwise.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
