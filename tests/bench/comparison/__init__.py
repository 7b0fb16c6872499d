"""SOGo alone and SOGo behind the module, measured on one machine in one run.
rig.py has the servers, crowd.py the phones, deliveries.py the mails; phases.py
measures, day.py calculates a phone's day, report.py and plot.py show it."""
