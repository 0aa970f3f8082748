# The public names, and the modules they are in. `__init__.py` reads this file, so each is listed once.
# isort: off
from alohub_async.export.job import export_inbound as export_inbound, export_resource as export_resource
from alohub_async.export.report import ExportProgress as ExportProgress, ExportReport as ExportReport
from alohub_async.export.run import ExportChoicesDict as ExportChoicesDict
from alohub_async.export.run import ExportConsistency as ExportConsistency, ExportOptions as ExportOptions
from alohub_async.export.run import ExportOptionsDict as ExportOptionsDict, OnProgress as OnProgress
