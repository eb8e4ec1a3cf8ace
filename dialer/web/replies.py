"""The VC's replies to agent requests over HTTP."""

from __future__ import annotations

from twisted.web.iweb import IRequest

from dialer.agents import Agents
from dialer.contact import Contact
from dialer.web.endpoint import Scope, endpoint
from dialer.web.posted import posted
from dialer.web.schema import AgentReplyIn, parse_reply
from dialer.web.shown import AgentReplyResult


class Replies:
    """Hands each reply to those that know what was asked."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    # One VC in use calls it with the semicolon.
    @endpoint(
        "POST",
        "/agent",
        alias="/agent;",
        scope=Scope.AGENT,
        takes=AgentReplyIn,
        answers=AgentReplyResult,
        errors=[400, 404, 409, 413, 415, 500, 503],
    )
    async def post_agent(self, request: IRequest) -> object:
        """The VC's reply to an agent request; answered once EFSwitch took or refused the command."""
        contact: Contact = await self._agents.reply(parse_reply(posted(request)))
        return {"id": contact.id, "status": contact.status, "callResult": contact.call_result}
