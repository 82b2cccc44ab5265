package journal

import "context"

// Prune runs one turn of the retention.
func Prune(ctx context.Context, j *Journal) error { return j.prune(ctx) }

// PruneFigures runs one turn of the figures' retention.
func PruneFigures(ctx context.Context, j *Journal) error { return j.pruneFigures(ctx) }

// Turn counts what is settled.
func Turn(ctx context.Context, j *Journal) error { return (&roller{j: j}).turn(ctx) }

// CountPiece counts one piece of facts, up to an ID.
func CountPiece(ctx context.Context, j *Journal, upTo int64) (int, error) { return j.count(ctx, upTo) }

// RollFacts is how many facts one piece has; TailMost how many may wait to be counted.
const (
	RollFacts = rollFacts
	TailMost  = tailMost
)

// Turns returns a counter that remembers from turn to turn who was writing.
func Turns(j *Journal) func(ctx context.Context) error { return (&roller{j: j}).turn }

// Plans returns the questions that a search asks of the database, with their arguments.
func Plans(j *Journal, q Query) (sqls []string, args [][]any) {
	if q.Limit = 100; q.Cursor == "" {
		q.Cursor = mark{1, 1}.cursor()
	}
	where, given, err := j.conditions(&q, mark{1, 1})
	if err != nil {
		panic(err)
	}
	walks, bounded := q.walks()
	all := q.pages(where, given, walks)
	if bounded {
		all = append(all, q.ends(walks)...)
	}
	for _, st := range all {
		sqls, args = append(sqls, st.sql), append(args, st.args)
	}
	return sqls, args
}

// VerdictPlans are the questions of Verdicts, with their arguments and the index that must answer.
func VerdictPlans() (all []VerdictPlan) {
	for _, q := range []VerdictQuery{{}, {Customer: "a"}, {Cursor: mark{1, 1}.cursor()}, {Customer: "a", Cursor: mark{1, 1}.cursor()}} {
		index := "journal_fact_at"
		if q.Customer != "" {
			index = "journal_fact_customer"
		}
		for _, end := range []mark{{}, {1, 1}} {
			sql, args := sqlVerdicts(q, end)
			all = append(all, VerdictPlan{sql, args, index})
		}
	}
	return all
}

// VerdictPlan is a question, and the index that must answer it.
type VerdictPlan struct {
	SQL   string
	Args  []any
	Index string
}

// TopTaken is the question who sends most, with two arguments; Prunes are those of the removal of figures, with three.
const TopTaken = sqlTopTaken

// Prunes are the statements that remove old figures.
func Prunes() []string { return sqlPruneFigures }

// FollowPlans are the questions of those who read on, what their plans must say, and how many arguments they have.
func FollowPlans() map[string]FollowPlan {
	const rows = "SEARCH journal_fact USING INTEGER PRIMARY KEY"
	return map[string]FollowPlan{sqlAfterAll: {rows, 3}, sqlAfterOne: {rows, 4}, sqlFact: {rows, 1}, sqlKindsAll: {rows, 2}, sqlKindsOne: {rows, 4}, sqlFirstIDs: {"journal_fact_at", 2}}
}

// FollowPlan is what a plan must say.
type FollowPlan struct {
	Want string
	Args int
}
