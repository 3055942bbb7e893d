package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/device"
)

// slowWriter writes events down, fails while it is away, and hangs while it hangs.
type slowWriter struct {
	mu          sync.Mutex
	away, hangs bool
	written     []string
}

func (w *slowWriter) set(away, hangs bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away, w.hangs = away, hangs
}

func (w *slowWriter) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written
}

func (w *slowWriter) AddEvent(ctx context.Context, e device.Event) error {
	w.mu.Lock()
	away, hangs := w.away, w.hangs
	w.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if away {
		return errors.New("the database is away")
	}
	w.written = append(w.written, e.Message)
	return nil
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestEventsOutliveTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		writer := &slowWriter{}
		dropped := prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"})
		c := newChronicle(writer, dropped, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			c.run(ctx)
			close(done)
		}()
		c.add(device.Event{Message: "first"})
		synctest.Wait()
		if len(writer.all()) != 1 {
			t.Fatalf("written: %q", writer.all())
		}
		writer.set(true, false)
		began := time.Now()
		for i := range 1500 {
			c.add(device.Event{Message: fmt.Sprint(i)})
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("adding waited %v for the database", took)
		}
		synctest.Wait()
		if n := counted(t, dropped); n < 499 || n > 501 || c.left() > maxWaiting {
			t.Errorf("%v events were dropped, %d wait", n, c.left())
		}
		writer.set(false, true)
		time.Sleep(time.Minute)
		if c.left() < maxWaiting-1 {
			t.Errorf("%d events wait while the database hangs", c.left())
		}
		writer.set(false, false)
		time.Sleep(chroniclePause + chronicleLimit)
		if n := len(writer.all()); n < maxWaiting || writer.all()[n-1] != "1499" || writer.all()[n-2] != "1498" {
			t.Errorf("%d events are written, the last is %q", n, writer.all()[n-1])
		}
		writer.set(true, false)
		c.add(device.Event{Message: "last"})
		synctest.Wait()
		writer.set(false, false)
		stop()
		<-done
		if n := len(writer.all()); writer.all()[n-1] != "last" {
			t.Errorf("the end does not write what is left, the last is %q", writer.all()[n-1])
		}
	})
}
