"""The dialer against a real FreeSWITCH. Each test is marked `freeswitch` and skipped unless the environment names one:

    TEST_ESL_HOST       where its event socket listens, as an IP address
    TEST_ESL_PORT       8021 on a stock one
    TEST_ESL_PASSWORD   of event_socket.conf.xml
    TEST_ESL_GATEWAY    `dialer-test`, the gateway of conf/gateway.xml

    python -m pytest -m freeswitch tests/freeswitch

It must be a FreeSWITCH of its own, without any other calls: the tests change its limits, pause it, reload its modules
and restart it (`fsctl shutdown restart`, for which it must have been started by an absolute path).

What it needs beside the modules of a stock one (mod_event_socket, mod_sofia, mod_commands, mod_dptools,
mod_dialplan_xml, mod_tone_stream):

- conf/gateway.xml in the folder of a SIP profile, such as conf/sip_profiles/external/. No customer and no other SIP
  peer has to be set up: the tests ask the switch where the gateway leads (`sofia status gateway`) and listen there
  themselves, for the pings, the customers and the agents (customers.py). So `proxy` must be an address of the machine
  that runs the tests, with a free UDP port.
- conf/dialplan.xml in conf/dialplan/, its context named as TEST_ESL_HOST: the `agent` extension, and the IVRs *9664,
  which plays until the customer hangs up, and 1999, which hangs up by itself.
- The event socket must let the tests in: see docs/efswitch.md for its ACL.

What is expected of customers and agents is said number by number by the tests themselves.
"""
