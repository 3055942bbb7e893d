package simulator

import (
	"container/heap"
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
)

// maxDelayed bounds the replies that wait to be sent: at 1.5 kB each some 200 MB.
const maxDelayed = 1 << 17

// delayQueue holds replies back until they are due.
type delayQueue struct {
	mu      sync.Mutex
	waiting replyHeap
	wake    chan struct{} // one token: the earliest reply has changed
}

// heldReply is a reply that waits.
type heldReply struct {
	due     time.Time
	batch   batchConn
	message ipv4.Message
}

func newDelayQueue() *delayQueue { return &delayQueue{wake: make(chan struct{}, 1)} }

// add takes a copy of a reply; false = there are too many already.
func (q *delayQueue) add(due time.Time, batch batchConn, reply, control []byte, to net.Addr) bool {
	memory := append(append(make([]byte, 0, len(reply)+len(control)), reply...), control...)
	message := ipv4.Message{Buffers: [][]byte{memory[:len(reply):len(reply)]}, OOB: memory[len(reply):], Addr: to}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxDelayed {
		return false
	}
	held := &heldReply{due: due, batch: batch, message: message}
	heap.Push(&q.waiting, held)
	if q.waiting[0] == held {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// run sends the replies when they are due, until ctx ends; those that wait then are lost, as on a wire that is cut.
func (q *delayQueue) run(ctx context.Context, send func(batchConn, []ipv4.Message)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []ipv4.Message
	for {
		batch, messages, wait := q.take(time.Now(), due[:0])
		if len(messages) > 0 {
			send(batch, messages)
			due = messages
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-q.wake:
		}
	}
}

// take removes the due replies of one socket that come first, or says how long to wait for the next one.
func (q *delayQueue) take(now time.Time, into []ipv4.Message) (batchConn, []ipv4.Message, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil, into, time.Hour
	}
	batch := q.waiting[0].batch
	for len(q.waiting) > 0 && len(into) < batchSize && q.waiting[0].batch == batch && !q.waiting[0].due.After(now) {
		into = append(into, heap.Pop(&q.waiting).(*heldReply).message)
	}
	if len(into) > 0 {
		return batch, into, 0
	}
	return nil, into, q.waiting[0].due.Sub(now)
}

// replyHeap implements heap.Interface, the earliest first.
type replyHeap []*heldReply

func (h replyHeap) Len() int           { return len(h) }
func (h replyHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h replyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *replyHeap) Push(x any)        { *h = append(*h, x.(*heldReply)) }
func (h *replyHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}
