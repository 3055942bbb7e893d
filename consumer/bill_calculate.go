package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"pollux/billing"
	"pollux/settings"
	"pollux/store"
	"pollux/tasks"
)

const (
	// calculateBatch is how many bills are asked for at once.
	calculateBatch = 500
	// calculateLimit bounds one calculation: less than its task's time, so that it ends by itself.
	calculateLimit = (tasks.MaxCalculation - 60) * time.Second
)

// How calculations end: labels of a metric.
const (
	calculateDone   = "done"   // all bills
	calculateLate   = "late"   // its time was over before all bills were calculated; the next one does the rest
	calculateFailed = "failed" // the database was away, or the program failed
)

var calculateResults = [...]string{calculateDone, calculateLate, calculateFailed}

// readCalculate reads a task. It trusts neither payload nor queue.
func readCalculate(ctx context.Context, task *asynq.Task) (tasks.BillingCalculate, error) {
	b, err := tasks.ParseBillingCalculate(task.Payload())
	if err != nil {
		return b, err
	}
	if queue, _ := asynq.GetQueueName(ctx); queue != tasks.BillingQueue {
		return b, fmt.Errorf("%w: a calculation of bills in queue %.60q", tasks.ErrPayload, queue)
	}
	return b, nil
}

// calculate brings the figures of all bills up to date. Two calculations at
// once are harmless: each sample is counted once. What one does not get to, the next one does, so that a database
// that is away is no error, and no task comes again for it.
func (c *Consumer) calculate(t tasks.BillingCalculate) error {
	began := time.Now()
	result, err := c.calculateAll(t)
	if err != nil { // the node stops
		c.metrics.handBacks.WithLabelValues(errHandBack.reason).Inc()
		return err
	}
	c.metrics.calculations.WithLabelValues(result).Inc()
	if result == calculateDone {
		c.metrics.calculation.Observe(time.Since(began).Seconds())
	}
	return nil
}

func (c *Consumer) calculateAll(t tasks.BillingCalculate) (result string, err error) {
	defer func() {
		if r := recover(); r != nil {
			c.complain(&c.panics, slog.LevelError, "a calculation of bills panicked", "panic", fmt.Sprintf("%.200v", r), "stack", string(debug.Stack()))
			result, err = calculateFailed, nil
		}
	}()
	ctx, cancel := context.WithTimeout(c.reading, calculateLimit)
	defer cancel()
	start := c.deps.Clock.Now()
	end, failed := time.Unix(t.End(), 0), 0
	for after := int64(0); ; {
		now := c.deps.Clock.Now()
		switch {
		case c.stopping():
			return "", errHandBack
		case !now.Before(end), ctx.Err() != nil:
			return calculateLate, nil
		}
		ids, err := c.deps.Billing.Calculator.DueBills(ctx, start, after, calculateBatch)
		switch {
		case err == nil && len(ids) == 0 && failed > 0:
			return calculateFailed, nil
		case err == nil && len(ids) == 0:
			return calculateDone, nil
		}
		if err == nil {
			after = ids[len(ids)-1]
			values := c.deps.Settings()
			method, _ := values.Text(settings.KeyBillingMethod)
			var left int
			left, err = c.calculateBills(ctx, ids, billing.Calculation{
				Now: now, Interval: values.Int(settings.KeyBillingFrequency), Method: billing.Method(method),
			})
			failed += left
		}
		if err != nil && ctx.Err() == nil {
			c.complain(&c.unbilled, slog.LevelWarn, "bills are not calculated; the next calculation brings them", "err", err)
			return calculateFailed, nil
		}
	}
}

// calculateBills calculates some bills, each alone when all together fail: what is wrong with one must not
// hold up the others. It returns how many failed; the error says that the database does not answer.
func (c *Consumer) calculateBills(ctx context.Context, ids []int64, calculation billing.Calculation) (failed int, err error) {
	calculator := c.deps.Billing.Calculator
	err = calculator.CalculateBills(ctx, ids, calculation)
	if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrUnavailable) {
		return 0, err
	}
	for _, id := range ids {
		err := calculator.CalculateBills(ctx, []int64{id}, calculation)
		switch {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, store.ErrUnavailable):
			return failed, err
		default:
			failed++
			c.complain(&c.unbilled, slog.LevelError, "a bill cannot be calculated", "bill", id, "err", err)
		}
	}
	return failed, nil
}
