package presence

// The scripts of presence.
var (
	StepSource  = presenceSource
	EndsSource  = presenceEndsSource
	DueSource   = dueSource
	LeaseSource = leadSource
)
