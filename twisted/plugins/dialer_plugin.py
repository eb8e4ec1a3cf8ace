"""`twistd dialer`. Strings only: importing klein here would install a reactor for every twistd command."""

from twisted.application.service import ServiceMaker

dialer = ServiceMaker("dialer", "dialer.tap", "Outbound campaign dialer for FreeSWITCH", "dialer")
