UPDATE contacts SET bridged = true WHERE id = %(id)s AND taking = %(taking)s AND status = 'dialed' AND NOT bridged
