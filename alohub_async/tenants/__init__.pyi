# The public names, and the modules they are in. `__init__.py` reads this file, so each is listed once.
# isort: off
from alohub_async.tenant import Tenant as Tenant, Tenants as Tenants, TenantsFile as TenantsFile
from alohub_async.tenant import read_tenants as read_tenants
