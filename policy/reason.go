package policy

// Code names why an evaluation acted or did not. The values are an interface: they appear in the CLI, the metrics,
// the events and the logs.
type Code string

// The reason codes of a stream.
const (
	Healthy              Code = "healthy"
	Suspect              Code = "suspect"
	ThresholdPending     Code = "threshold_pending"
	Held                 Code = "held"
	ConfigMismatch       Code = "config_mismatch"
	ChangedOutside       Code = "changed_outside"
	StateLost            Code = "state_lost"
	WriteOpen            Code = "write_open"
	NoQuorum             Code = "no_quorum"
	TooFewObservers      Code = "too_few_observers"
	OneSiteOnly          Code = "one_site_only"
	ObserversDisagree    Code = "observers_disagree"
	SeenUpBy             Code = "seen_up_by"
	MirrorReceiving      Code = "mirror_receiving"
	Blind                Code = "blind"
	ClockSlow            Code = "clock_slow"
	OriginDeleted        Code = "origin_deleted"
	OriginRecreated      Code = "origin_recreated"
	MetaQuorumLost       Code = "meta_quorum_lost"
	NoEligibleMirror     Code = "no_eligible_mirror"
	LossUnknown          Code = "loss_unknown"
	LossOverLimit        Code = "loss_over_limit"
	SubjectsUnreleasable Code = "subjects_unreleasable"
	Cooldown             Code = "cooldown"
	Brake                Code = "brake"
	AlertOnly            Code = "alert_only"
	AwaitingApproval     Code = "awaiting_approval"
	TargetUnreachable    Code = "target_unreachable"
	InProgress           Code = "in_progress"
	HookRefused          Code = "hook_refused"
	DualCapture          Code = "dual_capture"
)

// The reason codes of a candidate. WriteOpen serves both lists.
const (
	Eligible      Code = "eligible"
	WrongUpstream Code = "wrong_upstream"
	Filtered      Code = "filtered"
	Transformed   Code = "transformed"
	StartedLate   Code = "started_late"
	PromoteNever  Code = "promote_never"
	Unreachable   Code = "unreachable"
	Leaderless    Code = "leaderless"
	APILevel      Code = "api_level"
	NeverSynced   Code = "never_synced"
	Retention     Code = "retention"
)

// Reason is a code and one sentence for a person: the inputs that led to it, and where it helps the remedy.
type Reason struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
}
