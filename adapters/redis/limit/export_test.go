package limit

// The scripts of limits.
var (
	LimitSource  = limitSource
	LimitsSource = TakeScript + limitsSource
)
