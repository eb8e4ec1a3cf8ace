"""The voice connector sandbox: plays the voice connector towards a dialer, as a real HTTP server.

It knows nothing of any dialer but its HTTP interface. Run it alone with
`python -m dialer.sandbox.vc --dialer http://127.0.0.1:8080`, or within a program as `VoiceConnector`.

What a dialer calls, strictly checked; a wrong body gets 400 with the reason and is recorded as a violation:

    POST /request-agent                 answered {}, and after the reply delay {"uuid", "agent", "queue"} is posted to
                                        the dialer's /agent, again while that answers 503 or is not to be reached
    POST /send-delivery-notification    frees the agent held for that contact
    POST /end-chat                      frees the agents held for that customer

Controls, JSON:

    GET    /sandbox/records    {"records": [...], "dropped", "bound"}: what came in and went out, oldest first, the
                               newest 20,000 (or `records`); narrowed by ?direction=in|out &path= &contact=
                               &after=<seq> &limit=
    DELETE /sandbox/records    forget records and counts (Idempotency-Keys stay known)
    GET    /sandbox/summary    counts: agentRequests, agentReplies, notifications (byContact, byCallResult,
                               moreThanOnce), endChats, violations, agents (free, held), records. What comes again
                               under its Idempotency-Key counts once, besides under "duplicates"
    GET    /sandbox/behaviour  the rules in force
    POST   /sandbox/behaviour  {channel: rule or list of rules, ...}, all added or, with 400, none
    GET    /sandbox/settings   {"replyDelay": seconds, "dialerUrl", "agents": size of the pool}
    POST   /sandbox/settings   change any of them
    POST   /sandbox/reset      no rules, first settings (dialerUrl stays), no agent held, records and counts forgotten

A rule is {"mode", "next": n} for the next n occasions, {"mode", "fraction": 0..1} for a share of them, or {"mode"} for
all until changed; counted rules go first, in order. "status" (503) and "delay" (seconds) refine it. Channels and modes:

    "request"       the HTTP answer to /request-agent; "notification", "endChat": likewise
        accept      as if there were no rule; without a count it ends the rules of the channel
        refuse      answer "status", do nothing
        hang        do it, never answer
        slow        do it at once, answer after "delay" (5)
    "reply"         the agent reply that follows an accepted, hanging or slow agent request
        accept      as above
        late        "delay" (5) later than usual
        silent      none, and no agent is reserved
        no_agent    an empty agent though there are free ones
        twice       the same again, "delay" (0: racing) after the first was sent
        another     again with another agent (named only, not reserved), "delay" (0) after the first was answered
"""

from dialer.sandbox.vc.behaviour import Channel, Rule
from dialer.sandbox.vc.connector import VoiceConnector
from dialer.sandbox.vc.ledger import Record

__all__ = ["Channel", "Record", "Rule", "VoiceConnector"]
