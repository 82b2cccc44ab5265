package shaping

// What waits in a lane: customers, ordered by what they have had for their weight; in a customer the classes; in a class the streams, which take
// turns; in a stream first come, first served. Nothing here is locked: the lane is.

// Passes are virtual time: a customer who is given work of cost c moves on by c*passUnit/weight, and the one who has moved least is next. So a
// customer who comes with a single message is next at once, however much another has waiting.
const (
	passUnit  = 1 << 20
	maxCost   = 100 // recipients of one message that count
	routeRun  = 20  // messages that one route may be preferred for, before somebody else's turn is kept
	urgentRun = 3   // the same while a more urgent message waits for its turn
	maxWeight = 100
)

// classPass is what a message costs its class: of twelve turns transactional mail gets eight, normal three, bulk one, while all of them wait.
var classPass = [3]uint64{passUnit / 8, passUnit / 3, passUnit}

// node is an item that waits.
type node struct {
	Item
	st           *stream
	next, prev   *node // in the stream
	rnext, rprev *node // of the same route
}

// stream is a customer's messages of one class and sender.
type stream struct {
	name       string
	of         *share
	class      Class
	head, tail *node
	n          int
	next, prev *stream // ring of those that have something, in the class
	flow       flow
}

type classQueue struct {
	turn *stream // whose turn it is; nil: nothing waits
	n    int
	pass uint64
	live int // streams in the ring
}

type streamKey struct {
	class Class
	name  string
}

// share is one customer in one lane.
type share struct {
	customer string
	weight   uint64
	pass     uint64
	at       int // place in the heap; -1 not in it
	classes  [3]classQueue
	streams  map[streamKey]*stream
	last     *stream // the one used last: most customers have one
	waiting  int
	ready    int // of them, of classes that may leave
	held     int // waiting or being sent
	paused   bool
	gov      governorCount
	used     usage
}

// line is the waiting mail of a lane.
type line struct {
	shares   map[string]*share
	heap     []*share
	routes   map[string]*routeLine
	waiting  int
	eligible int // of them, those whose turn may come
	vtime    uint64
	blocked  [3]bool // classes that may not leave now
	bypassed int     // messages in a row that went before the one whose turn it was
	free     *node   // spare nodes
	spare    int
}

type routeLine struct {
	head, tail *node
}

func (q *line) share(customer string) *share { return q.shares[customer] }

func (q *line) makeShare(customer string, weight int) *share {
	if q.shares == nil {
		q.shares = make(map[string]*share)
		q.routes = make(map[string]*routeLine)
	}
	s := &share{customer: customer, at: -1, streams: make(map[streamKey]*stream, 1)}
	s.setWeight(weight)
	q.shares[customer] = s
	return s
}

func (s *share) setWeight(w int) { s.weight = uint64(min(max(w, 1), maxWeight)) }

func (s *share) stream(class Class, name string) *stream {
	if l := s.last; l != nil && l.class == class && l.name == name {
		return l
	}
	st := s.streams[streamKey{class, name}]
	if st == nil {
		st = &stream{name: name, class: class, of: s}
		s.streams[streamKey{class, name}] = st
	}
	s.last = st
	return st
}

func costOf(it *Item) uint64 { return uint64(min(max(it.Recipients, 1), maxCost)) }

// push puts an item at the end of its stream.
func (q *line) push(st *stream, it Item) {
	n := q.free
	if n != nil {
		q.free = n.next
		q.spare--
		*n = node{}
	} else {
		n = new(node)
	}
	n.Item, n.st = it, st
	s, c := st.of, &st.of.classes[st.class]
	if st.tail == nil {
		st.head = n
		if c.turn == nil {
			st.next, st.prev = st, st
			c.turn = st
			c.pass = max(c.pass, s.classFloor())
		} else { // behind the one whose turn it is: last in the round
			st.next, st.prev = c.turn, c.turn.prev
			st.prev.next, c.turn.prev = st, st
		}
		c.live++
	} else {
		st.tail.next, n.prev = n, st.tail
	}
	st.tail = n
	st.n++
	c.n++
	s.waiting++
	q.waiting++
	r := q.routes[it.Route]
	if r == nil {
		r = new(routeLine)
		q.routes[it.Route] = r
	}
	if r.tail == nil {
		r.head = n
	} else {
		r.tail.rnext, n.rprev = n, r.tail
	}
	r.tail = n
	if !q.blocked[st.class] {
		s.ready++
		if s.at >= 0 {
			q.eligible++
		} else {
			q.enter(s)
		}
	}
}

// classFloor is where a class begins that had nothing waiting: with the least of the others, so that it neither overtakes for what it did not use
// nor pays for it.
func (s *share) classFloor() uint64 {
	least, found := uint64(0), false
	for i := range s.classes {
		if c := &s.classes[i]; c.n > 0 && (!found || c.pass < least) {
			least, found = c.pass, true
		}
	}
	return least
}

// enter puts a customer among those who take turns.
func (q *line) enter(s *share) {
	if s.at >= 0 || s.paused || s.ready == 0 {
		return
	}
	s.pass = max(s.pass, q.vtime)
	q.eligible += s.ready
	s.at = len(q.heap)
	q.heap = append(q.heap, s)
	q.up(s.at)
}

func (q *line) leave(s *share) {
	i := s.at
	if i < 0 {
		return
	}
	q.eligible -= s.ready
	last := len(q.heap) - 1
	q.heap[i] = q.heap[last]
	q.heap[i].at = i
	q.heap[last] = nil
	q.heap = q.heap[:last]
	s.at = -1
	if i < last {
		q.down(i)
		q.up(i)
	}
}

func before(a, b *share) bool { return a.pass < b.pass }

func (q *line) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !before(q.heap[i], q.heap[p]) {
			return
		}
		q.swap(i, p)
		i = p
	}
}

func (q *line) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(q.heap) {
			return
		}
		if c+1 < len(q.heap) && before(q.heap[c+1], q.heap[c]) {
			c++
		}
		if !before(q.heap[c], q.heap[i]) {
			return
		}
		q.swap(i, c)
		i = c
	}
}

func (q *line) swap(i, j int) {
	q.heap[i], q.heap[j] = q.heap[j], q.heap[i]
	q.heap[i].at, q.heap[j].at = i, j
}

// ready reports whether anything may leave, limits aside.
func (q *line) ready() bool { return len(q.heap) > 0 }

// turn returns the message whose turn it is; nil when nothing may leave.
func (q *line) turn() *node {
	if len(q.heap) == 0 {
		return nil
	}
	return q.turnOf(q.heap[0])
}

// turnOf returns a customer's next message; he must be among those who take turns.
func (q *line) turnOf(s *share) *node {
	var best *classQueue
	for i := range s.classes {
		if c := &s.classes[i]; c.n > 0 && !q.blocked[i] && (best == nil || c.pass < best.pass) {
			best = c
		}
	}
	return best.turn.head
}

// pick takes the next message for a connection of that route ("" for a new one): the one whose turn it is, or one of the same route that is not far from its turn.
func (q *line) pick(route string) Item {
	n := q.turn()
	if route != "" && n.Route != route {
		if m := q.along(route, n); m != nil {
			q.bypassed++
			return q.take(m)
		}
	}
	q.bypassed = 0
	return q.take(n)
}

// along finds a message of a route that may go before the one whose turn it is.
func (q *line) along(route string, due *node) *node {
	if q.bypassed >= routeRun {
		return nil
	}
	r := q.routes[route]
	if r == nil {
		return nil
	}
	n := r.head
	for look := 0; n != nil && look < 8; look++ {
		s := n.st.of
		urgent := due.Class < n.Class && q.bypassed >= urgentRun
		if s.at >= 0 && !q.blocked[n.Class] && !urgent && n.st.head == n && s.pass <= q.heap[0].pass+routeRun*passUnit/s.weight {
			return n
		}
		n = n.rnext
	}
	return nil
}

// take takes a message out and lets its customer, class and stream pay for it.
func (q *line) take(n *node) Item {
	s, st := n.st.of, n.st
	c := &s.classes[st.class]
	cost := costOf(&n.Item)
	q.vtime = max(q.vtime, q.heap[0].pass)
	s.pass += cost * passUnit / s.weight
	c.pass += cost * classPass[st.class]
	if c.turn == st {
		c.turn = st.next
	}
	it := q.remove(n)
	if s.at >= 0 {
		q.down(s.at)
	}
	return it
}

// remove takes a message out of all lists, whatever its turn.
func (q *line) remove(n *node) Item {
	s, st := n.st.of, n.st
	c := &s.classes[st.class]
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		st.head = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		st.tail = n.prev
	}
	r := q.routes[n.Route]
	if n.rprev != nil {
		n.rprev.rnext = n.rnext
	} else {
		r.head = n.rnext
	}
	if n.rnext != nil {
		n.rnext.rprev = n.rprev
	} else {
		r.tail = n.rprev
	}
	if r.head == nil && len(q.routes) > 64 {
		delete(q.routes, n.Route)
	}
	st.n--
	c.n--
	s.waiting--
	q.waiting--
	if st.head == nil {
		if st.next == st {
			c.turn = nil
		} else {
			st.prev.next, st.next.prev = st.next, st.prev
			if c.turn == st {
				c.turn = st.next
			}
		}
		st.next, st.prev = nil, nil
		c.live--
	}
	if !q.blocked[st.class] {
		s.ready--
		if s.at >= 0 {
			q.eligible--
		}
		if s.ready == 0 {
			q.leave(s)
		}
	}
	it := n.Item
	if q.spare < 1024 {
		*n = node{next: q.free}
		q.free = n
		q.spare++
	}
	return it
}

// block says which classes may leave; it changes seldom.
func (q *line) block(classes [3]bool) {
	if q.blocked == classes {
		return
	}
	q.blocked = classes
	for _, s := range q.shares {
		q.leave(s)
		s.ready = 0
		for i := range s.classes {
			if !classes[i] {
				s.ready += s.classes[i].n
			}
		}
		q.enter(s)
	}
}

// pause keeps a customer out of turn, or lets him in again.
func (q *line) pause(s *share, paused bool) {
	s.paused = paused
	if paused {
		q.leave(s)
	} else {
		q.enter(s)
	}
}

// sweep forgets customers and streams that have nothing here and owe nothing.
func (q *line) sweep(now int64, windows []*window) {
	for name, s := range q.shares {
		for k, st := range s.streams {
			if st.n == 0 && !st.flow.parked(now) {
				if s.last == st {
					s.last = nil
				}
				delete(s.streams, k)
			}
		}
		if s.held == 0 && s.waiting == 0 && len(s.streams) == 0 && !s.paused && (s.pass <= q.vtime || q.waiting == 0) && s.gov.empty(now) && !s.used.owes(now, windows) {
			delete(q.shares, name)
		}
	}
	for name, r := range q.routes {
		if r.head == nil {
			delete(q.routes, name)
		}
	}
}
